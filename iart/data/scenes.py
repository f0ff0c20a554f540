"""Rendered scenes: pictures under a smooth random camera, with exactly known sub-pixel flow.

A layer is a picture, with an outline for foregrounds, and a smooth motion: for each frame an affine map from pixels x
of the frame to positions u = A·x + b of the picture. So the flow of a visible point from frame i to frame j is x' − x
with x' = A_j⁻¹·(A_i·x + b_i − b_j), exact to the rounding of float64. Frames are sampled bicubically at twice their
size and reduced with the antialiased bicubic kernel of the benchmarks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from iart.data.textures import Picture
from iart.image import Frame
from iart.ops.degradation import degrade

_FINER = 2  # supersampling factor of frames
_HARMONICS = 5  # of an outline

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Motion:
    """Largest speeds of translation, rotation and zoom.

    Args:
        speed: pixels of the ground truth per frame.
        turn: degrees per frame.
        zoom: relative change of size per frame.
    """

    speed: float = 6.0
    turn: float = 0.8
    zoom: float = 0.008


class Layer:
    """A picture that moves through a clip.

    Args:
        rng: generator of motion and outline.
        picture: (h, w, 3) in [0, 1]; mirrored where the motion leaves it.
        frames: length of the clip.
        size: (h, w) of the frames.
        motion: limits of the motion.
        foreground: whether the layer has an outline.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        picture: Picture,
        frames: int,
        size: tuple[int, int],
        motion: Motion,
        *,
        foreground: bool,
    ) -> None:
        self.picture = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None]
        times = np.arange(frames, dtype=np.float64) - (frames - 1) / 2
        height, width = size
        middle = np.array([width - 1, height - 1]) / 2
        place = middle if not foreground else rng.uniform(0.15, 0.85, 2) * [width - 1, height - 1]
        heading, speed = rng.uniform(0, 2 * np.pi), motion.speed * rng.uniform(0.15, 1)
        steady = speed * np.outer(times, [np.cos(heading), np.sin(heading)])
        sway = np.stack([_wave(rng, times) for _ in range(2)], axis=1) * motion.speed * rng.uniform(0, 0.6)
        path = place + steady + sway
        angle = np.radians(motion.turn) * rng.uniform(-1, 1) * times + rng.uniform(-0.3, 0.3)
        scale = rng.uniform(0.9, 1.25) * np.exp(
            motion.zoom * rng.uniform(-1, 1) * times
        )  # picture pixels per frame pixel
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        self.matrix = np.stack([np.stack([cos, -sin], 1), np.stack([sin, cos], 1)], 1)
        picture_size = np.array([picture.shape[1], picture.shape[0]])
        self.center = rng.uniform(0.35, 0.65, 2) * picture_size
        self.offset = self.center - np.einsum('tij,tj->ti', self.matrix, path)
        self.radius: float | None = rng.uniform(0.1, 0.28) * min(size) if foreground else None
        self._amplitude = rng.uniform(-1, 1, (2, _HARMONICS)) * 0.35 / np.arange(1, _HARMONICS + 1)

    def locate(self, points: Points, frame: int) -> Points:
        """Return the (..., 2) positions (x, y) in the picture of (..., 2) points of a frame."""
        return points @ self.matrix[frame].T + self.offset[frame]

    def follow(self, points: Points, start: int, end: int) -> Points:
        """Return where (..., 2) points of frame ``start`` are in frame ``end``."""
        return (self.locate(points, start) - self.offset[end]) @ np.linalg.inv(self.matrix[end]).T

    def coverage(self, points: Points, frame: int, blur: float) -> NDArray[np.float64]:
        """Return how far (..., 2) points are inside the outline, 0 to 1, over an edge ``blur`` frame pixels wide."""
        if self.radius is None:
            return np.ones(points.shape[:-1])
        apart = self.locate(points, frame) - self.center
        distance = np.hypot(apart[..., 0], apart[..., 1])
        near = distance < self.radius * (1 + np.abs(self._amplitude).sum()) + blur  # all others are certainly outside
        angle = np.arctan2(apart[near, 1], apart[near, 0])
        edge = np.ones_like(angle)
        for k in range(_HARMONICS):
            edge += self._amplitude[0, k] * np.cos((k + 1) * angle) + self._amplitude[1, k] * np.sin((k + 1) * angle)
        cover = np.zeros_like(distance)
        cover[near] = np.clip((self.radius * np.maximum(edge, 0.2) - distance[near]) / blur + 0.5, 0, 1)
        return cover

    def sample(self, points: Points, frame: int) -> torch.Tensor:
        """Return the (3, h, w) colors at (h, w, 2) points, bicubically."""
        h, w = self.picture.shape[-2:]
        grid = torch.from_numpy((2 * self.locate(points, frame) / [w - 1, h - 1] - 1).astype(np.float32))[None]
        return F.grid_sample(self.picture, grid, mode='bicubic', padding_mode='reflection', align_corners=True)[0]


class Scene:
    """A stack of layers, from back to front.

    Args:
        layers: the layers; the first one has no outline.
        size: (h, w) of the frames, multiples of ``scale``.
        scale: size of the frames divided by that of the LR frames.
    """

    def __init__(self, layers: Sequence[Layer], size: tuple[int, int], scale: int = 4) -> None:
        self.layers, self.size, self.scale = layers, size, scale

    def render(self, frame: int) -> Frame:
        """Return a frame of the ground truth, (h, w, 3) uint8."""
        h, w = self.size
        points = _grid(h * _FINER, w * _FINER, 1 / _FINER)
        canvas = self.layers[0].sample(points, frame)
        for layer in self.layers[1:]:
            cover = layer.coverage(points, frame, 1 / _FINER)
            rows, columns = (np.flatnonzero(cover.any(axis)) for axis in (1, 0))
            if len(rows):
                box = (..., slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
                share = torch.from_numpy(cover[box].astype(np.float32))
                canvas[box] = torch.lerp(canvas[box], layer.sample(points[box[1:]], frame), share)
        small = degrade(canvas.clamp(0, 1)[None], 'BI', _FINER)[0]
        return (small.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()

    def flow(self, start: int, end: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the (2, h, w) flow at the centers of LR pixels, in LR pixels, and where its target is hidden.

        A target is hidden if another layer covers it in frame ``end``, or if it is outside the frame.
        """
        h, w = (side // self.scale for side in self.size)
        points = _grid(h, w, self.scale)
        front = self._front(points, start)
        target = np.zeros_like(points)
        for number, layer in enumerate(self.layers):
            target = np.where((front == number)[..., None], layer.follow(points, start, end), target)
        outside = ((target < -0.5) | (target > np.array(self.size[::-1]) - 0.5)).any(-1)
        hidden = outside | (self._front(target, end) != front)
        flow = (target - points) / self.scale
        return flow.transpose(2, 0, 1).astype(np.float32), hidden

    def _front(self, points: Points, frame: int) -> NDArray[np.int64]:
        """Return the number of the layer visible at each point."""
        front = np.zeros(points.shape[:-1], np.int64)
        for number, layer in enumerate(self.layers[1:], 1):
            front[layer.coverage(points, frame, 1.0) > 0.5] = number
        return front


def _grid(height: int, width: int, step: float) -> Points:
    """Return the (h, w, 2) centers (x, y) of pixels ``step`` wide, in a grid with the same top left corner."""
    y, x = np.mgrid[:height, :width]
    return (np.stack([x, y], axis=-1) + 0.5) * step - 0.5


def _wave(rng: np.random.Generator, times: Points) -> Points:
    """Return a smooth curve in [-1, 1] that is 0 in the middle of the clip."""
    period, phase = rng.uniform(6, 16), rng.uniform(0, 2 * np.pi)
    return (np.sin(2 * np.pi * times / period + phase) - np.sin(phase)) / 2
