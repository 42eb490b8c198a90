#!/usr/bin/env python3
"""Draws a small labelled set of digit pictures that belongs to this project: no scan, nobody's handwriting.

    /usr/bin/python3 draw_digits.py [OUT_DIR] [--per-class 3] [--seed 7]

Each digit is a few strokes, given below as points on a unit square (x to the right, y down). A smooth curve runs
through them; slant, proportions, single points and the pen's width vary from picture to picture. The strokes
are drawn with anti-aliasing, fitted into a 20 x 20 box and centred by mass in 28 x 28, as in MNIST.
Writes digits-images-idx3-ubyte, digits-labels-idx1-ubyte and one PGM file a class. Needs numpy only.
"""
import argparse
import pathlib

import numpy as np

# STROKES[digit]: ways to write it; each way is a list of strokes, each stroke a list of points.
# A point that stands twice is a corner.
RING = [(.50, .00), (.22, .14), (.10, .50), (.22, .86), (.50, 1.0), (.78, .86), (.90, .50), (.78, .14), (.50, .00)]
STROKES = {
    0: [[RING],
        [[(.60, .00), (.28, .14), (.14, .55), (.30, .92), (.55, 1.0), (.82, .75), (.86, .35), (.70, .06), (.52, .02)]]],
    1: [[[(.50, .00), (.50, .50), (.50, 1.0)]],
        [[(.62, .00), (.50, .50), (.40, 1.0)]]],
    2: [[[(.15, .22), (.30, .04), (.58, .00), (.80, .18), (.72, .42), (.45, .70), (.12, .98), (.12, .98), (.45, .97),
          (.90, .98)]],
        [[(.14, .18), (.42, .00), (.76, .10), (.78, .34), (.50, .68), (.22, .92), (.14, .88), (.26, .80), (.55, .92),
          (.92, .96)]]],
    3: [[[(.16, .12), (.42, .00), (.74, .08), (.76, .30), (.44, .46), (.44, .46), (.80, .56), (.84, .82), (.52, 1.0),
          (.14, .90)]],
        [[(.18, .06), (.55, .00), (.78, .16), (.66, .38), (.40, .47), (.40, .47), (.70, .54), (.82, .74), (.62, .96),
          (.16, .96)]]],
    4: [[[(.22, .02), (.16, .30), (.18, .50), (.18, .50), (.50, .52), (.86, .48)],
         [(.80, .02), (.76, .50), (.72, 1.0)]],
        [[(.28, .00), (.14, .36), (.20, .54), (.52, .54), (.84, .42)],
         [(.86, .04), (.80, .40), (.74, 1.0)]]],
    5: [[[(.84, .00), (.55, .02), (.26, .04), (.26, .04), (.22, .24), (.20, .44), (.20, .44), (.48, .38), (.78, .52),
          (.80, .80), (.50, 1.0), (.12, .92)]],
        [[(.28, .04), (.22, .44), (.22, .44), (.52, .38), (.80, .56), (.74, .86), (.42, 1.0), (.12, .90)],
         [(.28, .04), (.55, .05), (.86, .00)]]],
    6: [[[(.68, .00), (.38, .22), (.20, .56), (.22, .86), (.48, 1.0), (.76, .90), (.80, .68), (.58, .54), (.32, .64),
          (.24, .80)]],
        [[(.58, .00), (.28, .32), (.18, .66), (.30, .94), (.58, .98), (.78, .80), (.68, .60), (.44, .58), (.24, .76)]]],
    7: [[[(.10, .06), (.48, .04), (.88, .02), (.88, .02), (.68, .36), (.52, .68), (.42, 1.0)]],
        [[(.12, .16), (.14, .06), (.14, .06), (.50, .06), (.86, .04), (.86, .04), (.72, .40), (.60, .70), (.52, 1.0)]]],
    8: [[[(.74, .12), (.50, .00), (.26, .12), (.30, .34), (.52, .48), (.78, .66), (.76, .90), (.50, 1.0), (.24, .90),
          (.22, .66), (.48, .48), (.72, .32), (.74, .12)]],
        [[(.80, .10), (.56, .00), (.30, .12), (.34, .36), (.56, .50), (.72, .72), (.62, .94), (.40, 1.0), (.24, .84),
          (.34, .62), (.58, .44), (.78, .24), (.80, .10)]]],
    9: [[[(.78, .16), (.54, .00), (.26, .12), (.22, .36), (.44, .48), (.68, .38), (.78, .16), (.78, .16), (.74, .56),
          (.66, 1.0)]],
        [[(.76, .12), (.48, .00), (.24, .20), (.30, .42), (.54, .42), (.74, .24), (.76, .12), (.76, .12), (.72, .50),
          (.58, .80), (.48, 1.0)]]],
}


def curve(points, steps=24):
    """A Catmull-Rom curve through the points, broken where a point stands twice."""
    points = np.asarray(points, float)
    cuts = [0] + [i for i in range(1, len(points)) if np.allclose(points[i], points[i - 1])] + [len(points)]
    t = np.linspace(0, 1, steps)[:, None]
    out = []
    for a, b in zip(cuts, cuts[1:]):
        p = points[a:b]
        p = np.vstack([2 * p[0] - p[1], p, 2 * p[-1] - p[-2]])
        for p0, p1, p2, p3 in zip(p, p[1:], p[2:], p[3:]):
            out.append(p1 + t / 2 * ((p2 - p0) + t * ((2 * p0 - 5 * p1 + 4 * p2 - p3) + t * (3 * (p1 - p2) + p3 - p0))))
    return np.vstack(out)


def shaken(strokes, rng):
    """The strokes with slant, stretch and jitter; equal points (corners, joints) move together."""
    slant, stretch = rng.normal(0.12, 0.08), rng.uniform(0.72, 0.95)
    moved = {}
    for stroke in strokes:
        for x, y in stroke:
            dx, dy = rng.normal(0, 0.015, 2)
            moved.setdefault((x, y), ((x - .5) * stretch + slant * (.5 - y) + dx, y + dy))
    return [curve([moved[p] for p in stroke]) for stroke in strokes]


def render(strokes, width):
    """28 x 28 grey levels: 20 x 20 box, centre of mass in the middle."""
    points = np.vstack(strokes)
    size = 20 - width
    scale = size / max(np.ptp(points, axis=0))
    points = (points - points.min(0)) * scale
    near = np.arange(28)

    def draw(offset):
        p = points + offset
        gap = np.hypot(near[None, :, None] - p[:, 0], near[:, None, None] - p[:, 1]).min(2)
        return np.clip(width / 2 + 0.6 - gap, 0, 1.2) / 1.2

    offset = 13.5 - points.mean(0)
    for _ in range(4):
        ink = draw(offset)
        mass = np.array([(ink * near).sum(), (ink * near[:, None]).sum()]) / ink.sum()
        offset += 13.5 - mass
    return np.rint(255 * draw(offset)).astype(np.uint8)


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("out", nargs="?", default=str(pathlib.Path(__file__).parent))
    args.add_argument("--per-class", type=int, default=3)
    args.add_argument("--seed", type=int, default=7)
    args = args.parse_args()

    rng = np.random.default_rng(args.seed)
    labels = [digit for _ in range(args.per_class) for digit in range(10)]
    images = []
    for i, digit in enumerate(labels):
        ways = STROKES[digit]
        images.append(render(shaken(ways[i // 10 % len(ways)], rng), rng.uniform(2.0, 3.0)))
    images = np.array(images)

    out = pathlib.Path(args.out)
    head = b"\x00\x00\x08"
    count = len(labels).to_bytes(4, "big")
    side = (28).to_bytes(4, "big")
    (out / "digits-images-idx3-ubyte").write_bytes(head + b"\x03" + count + side + side + images.tobytes())
    (out / "digits-labels-idx1-ubyte").write_bytes(head + b"\x01" + count + bytes(labels))
    for digit in range(10):
        (out / f"digit-{digit}.pgm").write_bytes(b"P5\n28 28\n255\n" + images[digit].tobytes())
    print(f"{len(labels)} pictures in {out}")


if __name__ == "__main__":
    main()
