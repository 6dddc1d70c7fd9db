"""An exported generator in other programs: onnx's checker, and onnxruntime's images beside ours.

  onnx_beside.py FILE.onnx LATENTS.npy ROW.pnm [LABEL | TAG,TAG,...]

ROW.pnm: our images of these latents side by side, RGB; grey and images with alpha (over white) as
`imgtrain sample` makes RGB of them. Prints how many agree to 1 of 255.
"""
import sys

import numpy
import onnx
import onnxruntime

model, latents, row = sys.argv[1:4]
onnx.checker.check_model(onnx.load(model), full_check=True)
z = numpy.load(latents).astype(numpy.float32)
inputs = {'z': z}
session = onnxruntime.InferenceSession(model, providers=['CPUExecutionProvider'])
if len(sys.argv) > 4:
    numbers = [int(n) for n in sys.argv[4].split(',')]
    if 'tags' in [i.name for i in session.get_inputs()]:
        inputs['tags'] = numpy.zeros((len(z), session.get_inputs()[1].shape[1]), numpy.float32)
        inputs['tags'][:, numbers] = 1
    else:
        inputs['label'] = numpy.full(len(z), numbers[0], numpy.int64)
image, = session.run(['image'], inputs)
its = numpy.clip(numpy.floor(image * 128 + 128.5), 0, 255).astype(int)
if its.shape[1] == 4:
    its = numpy.minimum(numpy.minimum(its[:, :3], its[:, 3:]) + 255 - its[:, 3:], 255)
elif its.shape[1] == 1:
    its = its.repeat(3, 1)
with open(row, 'rb') as f:
    data = f.read()
head = data.split(maxsplit=4)[:4]
width, height = int(head[1]), int(head[2])
ours = numpy.frombuffer(data[-width * height * 3:], numpy.uint8).reshape(height, len(z), -1, 3)
ours = ours.transpose(1, 3, 0, 2).astype(int)
good = sum(abs(a - b).max() <= 1 for a, b in zip(its, ours))
print(f'{good} of {len(z)} images agree, spread {ours.std():.1f}')
