"""sr_drawn.py FOLDER FIRST COUNT: drawn pictures for networks that enlarge, 256 x 256, as FOLDER/N.ppm.

Each has a slope of brightness, a field of noise with a known spectrum (waves as large as 1 / frequency), discs,
lines and lines of letter-like strokes, all with soft edges of one pixel. Picture N is a function of N alone.
Standard library only.
"""
import math
import os
import random
import sys

SIDE = 256


class Canvas:
    def __init__(self, dice):
        self.dice = dice
        dx, dy = dice.uniform(-0.5, 0.5), dice.uniform(-0.5, 0.5)
        tint = [dice.uniform(70, 180) for _ in range(3)]
        across = [dx * (x - SIDE / 2) for x in range(SIDE)]
        self.planes = [[[base + dy * (y - SIDE / 2) + a for a in across] for y in range(SIDE)] for base in tint]

    def colour(self):
        grey = self.dice.uniform(30, 225)
        return [grey + self.dice.uniform(-30, 30) for _ in range(3)]

    def paint(self, x, y, cover, colour):
        for plane, value in zip(self.planes, colour):
            plane[y][x] += cover * (value - plane[y][x])

    def disc(self, cx, cy, radius, colour):
        for y in range(max(0, int(cy - radius - 1)), min(SIDE, int(cy + radius + 2))):
            for x in range(max(0, int(cx - radius - 1)), min(SIDE, int(cx + radius + 2))):
                cover = radius + 0.5 - math.hypot(x - cx, y - cy)
                if cover > 0:
                    self.paint(x, y, min(cover, 1), colour)

    def line(self, x0, y0, x1, y1, width, colour):
        """Painted across the axis along which it is longer."""
        steep = abs(y1 - y0) > abs(x1 - x0)
        if steep:
            x0, y0, x1, y1 = y0, x0, y1, x1
        if x1 < x0:
            x0, y0, x1, y1 = x1, y1, x0, y0
        slope = (y1 - y0) / max(x1 - x0, 1e-9)
        half = width / 2 * math.hypot(1, slope)
        for x in range(max(0, round(x0)), min(SIDE, round(x1) + 1)):
            middle = y0 + slope * (x - x0)
            for y in range(max(0, int(middle - half - 1)), min(SIDE, int(middle + half + 2))):
                cover = half + 0.5 - abs(y - middle)
                if cover > 0:
                    self.paint(*((y, x) if steep else (x, y)), min(cover, 1), colour)

    def text(self, left, top, size, letters, colour):
        """Letters of two to four straight strokes between the corners of a cell."""
        for i in range(letters):
            x = left + i * size * 0.8
            corners = [(x + u * size * 0.5, top + v * size * 0.5) for u in (0, 1) for v in (0, 1, 2)]
            for _ in range(self.dice.randint(2, 4)):
                (x0, y0), (x1, y1) = self.dice.sample(corners, 2)
                self.line(x0, y0, x1, y1, size / 8, colour)

    def noise(self, left, top, side, waves):
        for _ in range(waves):
            frequency = self.dice.uniform(0.05, 0.45)
            angle, phase = self.dice.uniform(0, math.pi), self.dice.uniform(0, 2 * math.pi)
            amplitude = 2.5 / frequency
            kx, ky = (2 * math.pi * frequency * f(angle) for f in (math.cos, math.sin))
            for y in range(top, min(SIDE, top + side)):
                add = [amplitude * math.cos(kx * x + ky * y + phase) for x in range(left, min(SIDE, left + side))]
                for plane in self.planes:
                    row = plane[y]
                    for i, a in enumerate(add, left):
                        row[i] += a

    def save(self, path):
        with open(path, 'wb') as file:
            file.write(b'P6 %d %d 255\n' % (SIDE, SIDE))
            red, green, blue = ([v for row in plane for v in row] for plane in self.planes)
            file.write(bytes(0 if v < 0 else 255 if v > 255 else int(v + 0.5)
                             for pixel in zip(red, green, blue) for v in pixel))


def draw(number):
    dice = random.Random(number)
    place = lambda: dice.uniform(0, SIDE)
    canvas = Canvas(dice)
    canvas.noise(dice.randrange(SIDE - 80), dice.randrange(SIDE - 80), 80, 4)
    for _ in range(6):
        canvas.disc(place(), place(), dice.uniform(3, 22), canvas.colour())
    for _ in range(8):
        canvas.line(place(), place(), place(), place(), dice.uniform(1, 5), canvas.colour())
    for _ in range(5):
        canvas.text(place() - 40, place(), dice.uniform(8, 20), 10, canvas.colour())
    return canvas


if __name__ == '__main__':
    folder, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    os.makedirs(folder, exist_ok=True)
    for n in range(first, first + count):
        draw(n).save('%s/%d.ppm' % (folder, n))
