"""Whether spandrel loads the models of runs, and makes of an image what RUN.png shows of each, to a level.

  spandrel_beside.py IMAGE RUN ...        a line a run: RUN True
"""
import sys

import numpy as np
import torch
from PIL import Image
from spandrel import ModelLoader

torch.set_num_threads(1)
image = np.array(Image.open(sys.argv[1]).convert("RGB"))
x = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
for name in sys.argv[2:]:
    with torch.no_grad():
        y = ModelLoader().load_from_file(name + "/model.safetensors").model.eval()(x)
    theirs = (y[0].clamp(0, 1).permute(1, 2, 0) * 255).round().numpy()
    print(name, int(np.abs(theirs - np.array(Image.open(name + ".png"))).max()) <= 1)
