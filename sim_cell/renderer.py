"""Pictures without a graphics driver: MuJoCo's CPU ray caster, a shadow map and smoothed edges.

One ray per pixel gives shape, colour and the true class of each pixel; pixels at the border of two bodies get four more
rays. Shadows come from a single small depth map seen from the light, shared by the three views of one moment.
"""

from __future__ import annotations

import mujoco
import numpy as np

from sim_cell.look import Look
from sim_cell.objects import BOWL, CLASSES, NAMES

LIGHT = np.array([0.25, 0.25, 1.9])
LIGHT_TARGET = np.array([0.42, 0.0, 0.0])
LIGHT_FOCAL = 2.6  # of the shadow map, in half widths: covers the table's middle
SHADOW_BIAS = 0.02  # metres; less speckles surfaces, more detaches shadows
AMBIENT, HEADLIGHT, DIFFUSE = 0.40, 0.38, 0.50
BACKGROUND = np.array([0.72, 0.75, 0.78])
VISIBLE_GROUPS = np.array([1, 0, 1, 0, 0, 0], np.uint8)  # 0: scene and objects, 2: the arm's visual meshes
EDGE_OFFSETS = ((-0.3, -0.15), (0.15, -0.3), (-0.15, 0.3), (0.3, 0.15))  # pixels
CENTRE_WEIGHT = 0.5  # of the middle ray against one edge ray
REACH = 10.0  # metres


class Renderer:
    """Renders the named cameras of one model at one size."""

    def __init__(self, model: mujoco.MjModel, width: int, height: int, shadow_size: int = 96):
        self.model, self.width, self.height = model, width, height
        self._paint = model.geom_rgba[:, :3].copy()
        painted = model.geom_matid >= 0
        self._paint[painted] = model.mat_rgba[model.geom_matid[painted], :3]
        self._table = model.geom("table").id
        self._class_of_geom = _classes_of_geoms(model)
        self._body_of_geom = model.geom_bodyid.copy()
        self._rays: dict[str, np.ndarray] = {}
        self._shadow_size = shadow_size
        self._shadow_depth = np.full(shadow_size**2, -1.0)
        self.dress(Look())

    def dress(self, look: Look) -> None:
        """Change light, colours and the table's texture from the next picture on."""
        self._look = look
        self._light = LIGHT + look.lamp
        self._light_axes, self._light_rays = _light(self._light, self._shadow_size)
        self._colour = self._paint.copy()
        self._colour[self._table] += look.table
        for name, tint in look.tints.items():
            self._colour[self.model.geom_bodyid == self.model.body(name).id] *= tint
        np.clip(self._colour, 0.0, 1.0, out=self._colour)

    def update_shadows(self, data: mujoco.MjData) -> None:
        """Cast the shadow map anew; call once per moment, before its views."""
        hit = np.empty(self._shadow_size**2, np.int32)
        self._cast(data, self._light, self._light_rays, hit, self._shadow_depth, None)

    def render(self, data: mujoco.MjData, camera: str) -> tuple[np.ndarray, np.ndarray]:
        """One view of the present state of ``data`` (positions computed, see ``mj_forward``).

        Returns:
            ``(h, w, 3)`` uint8 RGB picture and ``(h, w)`` uint8 class ids (indices into ``objects.CLASSES``).
        """
        index = self.model.camera(camera).id
        if camera not in self._rays:
            self._rays[camera] = self._camera_rays(index)
        to_world = data.cam_xmat[index].reshape(3, 3).T
        origin = data.cam_xpos[index].copy()
        rays = self._rays[camera]

        picture, geoms = self._shade(data, origin, rays[0] @ to_world)
        bodies = np.where(geoms >= 0, self._body_of_geom[geoms], -1).reshape(self.height, self.width)
        edges = np.flatnonzero(_borders(bodies))
        if len(edges):
            around, _ = self._shade(data, origin, rays[1:, edges].reshape(-1, 3) @ to_world)
            total = CENTRE_WEIGHT * picture[edges] + around.reshape(len(EDGE_OFFSETS), -1, 3).sum(0)
            picture[edges] = total / (CENTRE_WEIGHT + len(EDGE_OFFSETS))
        classes = np.where(geoms >= 0, self._class_of_geom[geoms], 0).astype(np.uint8)
        shape = (self.height, self.width)
        return (picture * 255).astype(np.uint8).reshape(*shape, 3), classes.reshape(shape)

    def _camera_rays(self, camera: int) -> np.ndarray:
        """Unit directions ``(1 + edges, h*w, 3)`` in the camera's own frame (MuJoCo: y up, looking along -z)."""
        focal = 0.5 * self.height / np.tan(np.radians(self.model.cam_fovy[camera]) / 2)
        columns = np.arange(self.width) + 0.5 - self.width / 2
        rows = self.height / 2 - np.arange(self.height) - 0.5
        x, y = np.meshgrid(columns, rows)
        rays = [np.stack([x + dx, y - dy, np.full_like(x, -focal)], -1) for dx, dy in ((0.0, 0.0), *EDGE_OFFSETS)]
        stacked = np.stack(rays).reshape(len(rays), -1, 3)
        return stacked / np.linalg.norm(stacked, axis=-1, keepdims=True)

    def _shade(self, data: mujoco.MjData, origin: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Colours ``(N, 3)`` in [0, 1] and geom ids ``(N,)`` (-1: nothing) along the rays."""
        count = len(rays)
        geoms, depth, normal = np.empty(count, np.int32), np.empty(count), np.zeros((count, 3))
        self._cast(data, origin, rays, geoms, depth, normal)
        points = origin + rays * depth[:, None]
        facing = np.einsum("ij,ij->i", normal, rays)
        to_light = self._light - points
        distance = np.sqrt(np.einsum("ij,ij->i", to_light, to_light))
        # Clustered meshes have faces of either orientation: what we see faces us.
        slope = np.einsum("ij,ij->i", normal, to_light) * np.where(facing > 0, -1.0, 1.0) / distance
        lit = np.clip(slope, 0.0, 1.0) * self._lit(points, distance)
        brightness = AMBIENT + HEADLIGHT * np.abs(facing) + DIFFUSE * lit
        if self._look.texture != "plain":
            table = geoms == self._table
            brightness[table] *= self._look.texture_at(points[table, 0], points[table, 1])
        colours = np.clip(self._colour[geoms] * brightness[:, None] * self._look.light, 0.0, 1.0)
        colours[geoms < 0] = np.minimum(BACKGROUND * self._look.light, 1.0)
        return colours, geoms

    def _lit(self, points: np.ndarray, distance: np.ndarray) -> np.ndarray:
        """Which points ``(N, 3)`` at ``distance`` from the light it reaches; outside the shadow map all of them."""
        seen = (points - self._light) @ self._light_axes.T
        scale = LIGHT_FOCAL / np.maximum(-seen[:, 2], 1e-3)
        cell = ((seen[:, :2] * scale[:, None] + 1) / 2 * self._shadow_size).astype(np.int64)
        inside = ((cell >= 0) & (cell < self._shadow_size)).all(1)
        np.clip(cell, 0, self._shadow_size - 1, out=cell)
        blocker = self._shadow_depth[cell[:, 1] * self._shadow_size + cell[:, 0]]
        return ~(inside & (blocker > 0) & (distance > blocker + SHADOW_BIAS))

    def _cast(self, data, origin, rays, geoms, depth, normal) -> None:
        flat = None if normal is None else normal.reshape(-1)
        mujoco.mj_multiRay(
            self.model, data, origin, rays.reshape(-1), VISIBLE_GROUPS, 1, -1, geoms, depth, flat, len(rays), REACH
        )


def _light(position: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The axes of a light at ``position`` ``(3, 3)`` as rows and its unit rays ``(size*size, 3)`` in the world."""
    back = position - LIGHT_TARGET
    back /= np.linalg.norm(back)
    right = np.cross([0.0, 1.0, 0.0], back)
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(back, right), back])
    steps = (np.arange(size) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(steps, steps)
    rays = np.stack([x, y, np.full_like(x, -LIGHT_FOCAL)], -1).reshape(-1, 3)
    return axes, (rays / np.linalg.norm(rays, axis=1, keepdims=True)) @ axes


def _borders(bodies: np.ndarray) -> np.ndarray:
    """Pixels ``(h, w)`` bool that touch a pixel of another body."""
    border = np.zeros(bodies.shape, bool)
    across, down = bodies[:, 1:] != bodies[:, :-1], bodies[1:] != bodies[:-1]
    border[:, 1:] |= across
    border[:, :-1] |= across
    border[1:] |= down
    border[:-1] |= down
    return border


def _classes_of_geoms(model: mujoco.MjModel) -> np.ndarray:
    """Class id of every geom: objects and the bowl by name, the arm and gripper "robot", all else background."""
    of_body = np.zeros(model.nbody, np.uint8)
    root = model.body("link0").id
    of_body[model.body_rootid == root] = CLASSES.index("robot")
    for name in (*NAMES, BOWL):
        of_body[model.body(name).id] = CLASSES.index(name)
    return of_body[model.geom_bodyid]
