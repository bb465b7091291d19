"""Lighter visual meshes: ray casting spends its time in the robot's 63 meshes of 198 thousand triangles."""

from __future__ import annotations

import mujoco
import numpy as np

VISUAL_GROUP = 2
SMALLEST_MESH = 8  # faces


def cluster_vertices(vertices: np.ndarray, faces: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Merge the vertices of a mesh that fall into one cell of a regular grid.

    Args:
        vertices: ``(V, 3)`` positions in metres.
        faces: ``(F, 3)`` vertex indices.
        size: Side of a grid cell in metres.

    Returns:
        ``(V', 3)`` positions (means of the merged ones) and ``(F', 3)`` faces without collapsed or repeated triangles.
    """
    cell = np.floor((vertices - vertices.min(0)) / size).astype(np.int64)
    _, owner = np.unique(cell, axis=0, return_inverse=True)
    owner = owner.reshape(-1)
    count = np.bincount(owner)
    merged = np.stack([np.bincount(owner, vertices[:, k]) / count for k in range(3)], axis=1)
    triangles = owner[faces]
    a, b, c = triangles.T
    triangles = triangles[(a != b) & (b != c) & (a != c)]
    _, first = np.unique(np.sort(triangles, axis=1), axis=0, return_index=True)
    return merged, triangles[np.sort(first)]


def lighten_visuals(spec: mujoco.MjSpec, cells: int) -> None:
    """Merge the visual meshes of each body and material into one, clustered; collision meshes stay exact.

    Args:
        spec: Changed in place.
        cells: Grid cells along the longest side of a merged mesh.
    """
    model = spec.compile()
    parts: dict[tuple[str, str], list[tuple[np.ndarray, np.ndarray]]] = {}
    for index, geom in reversed(list(enumerate(spec.geoms))):
        if geom.type == mujoco.mjtGeom.mjGEOM_MESH and geom.group == VISUAL_GROUP:
            parts.setdefault((geom.parent.name, geom.material), []).append(_mesh_in_body(model, index))
            spec.delete(geom)
    for (body, material), meshes in parts.items():
        vertices, faces = _join(meshes)
        size = (vertices.max(0) - vertices.min(0)).max() / cells
        vertices, faces = cluster_vertices(vertices, faces, size)
        if len(faces) < SMALLEST_MESH:
            continue  # indicator lights and the like: less than a pixel in any view
        name = f"{body} {material} light"
        mesh = spec.add_mesh(name=name, uservert=vertices.ravel(), userface=faces.ravel())
        mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL  # clustered meshes need not be closed
        geom = spec.body(body).add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name, material=material)
        geom.contype, geom.conaffinity, geom.mass, geom.group = 0, 0, 0, VISUAL_GROUP


def _mesh_in_body(model: mujoco.MjModel, geom: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices ``(V, 3)`` in the frame of the geom's body and faces ``(F, 3)``."""
    mesh = model.geom_dataid[geom]
    first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
    vertices = model.mesh_vert[first : first + count].astype(float)
    first, count = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, model.geom_quat[geom])
    return vertices @ rotation.reshape(3, 3).T + model.geom_pos[geom], model.mesh_face[first : first + count]


def _join(meshes: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0] + [len(vertices) for vertices, _ in meshes[:-1]])
    faces = [faces + offset for (_, faces), offset in zip(meshes, offsets, strict=True)]
    return np.concatenate([vertices for vertices, _ in meshes]), np.concatenate(faces)
