"""The ament_python package `vidplan_bridge`."""

from setuptools import setup

NAME = "vidplan_bridge"

setup(
    name=NAME,
    version="0.1.0",
    packages=[NAME],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    maintainer="VidPlan maintainers",
    maintainer_email="maintainers@example.com",
    description="The bridge between a robot and VidPlan's planner server",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            f"bridge = {NAME}.shell:bridge",
            f"replay = {NAME}.shell:replay",
            f"doctor = {NAME}.shell:doctor",
        ]
    },
)
