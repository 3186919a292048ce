from setuptools import setup

setup(
    name="trackgate-trac",
    version="1.0",
    description="Lets a Trackgate gateway read and write the tickets of a Trac",
    license="Apache-2.0",
    packages=["trackgate_trac"],
    install_requires=["Trac >= 1.4"],
    entry_points={"trac.plugins": ["trackgate_trac = trackgate_trac.plugin"]},
)
