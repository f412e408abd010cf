"""Makes this machine able to build: engine, base image, download settings of the host. Read setup.py first."""
