"""Clients of three databases: each stores and finds something on a real server, which Debian has."""

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator

import docker
import pytest
from docker.models.networks import Network
from testinfra.host import Host

from slipway.docker import TEST_LABEL
from slipway.host import downloads as this_host
from slipway.matrix import Image
from tests.images.helpers.containers import Run
from tests.images.helpers.scope import applies

pytestmark = applies(workload="compute")

# Each client, and the package that it is in.
CLIENTS = {"psql": "postgresql-client-17", "mysql": "mariadb-client-core", "redis-cli": "redis-tools"}
SERVERS = """
FROM {base}
RUN --mount=type=secret,id=ca \\
    --mount=type=secret,id=sources,target=/etc/apt/sources.list.d/debian.sources \\
    --mount=type=secret,id=apt,target=/etc/apt/apt.conf.d/90host \\
    --mount=type=secret,id=auth,target=/etc/apt/auth.conf \\
    apt-get -o APT::Update::Error-Mode=any update || exit {unreached}; \\
    apt-get install -y --no-install-recommends mariadb-server postgresql redis-server
"""
UNREACHED = 75  # exit code of the build when Debian's package lists are out of reach
# Each server's user and start script; all of them ask for a password.
START = {
    "psql": (
        "postgres",
        """
        bin=$(echo /usr/lib/postgresql/*/bin) && echo secret >/tmp/password
        $bin/initdb --pgdata=/tmp/db --auth=scram-sha-256 --pwfile=/tmp/password >/dev/null
        echo 'host all all all scram-sha-256' >>/tmp/db/pg_hba.conf
        exec $bin/postgres -D /tmp/db -c listen_addresses='*' -c unix_socket_directories=/tmp
        """,
    ),
    "mysql": (
        "mysql",
        """
        mariadb-install-db --no-defaults --datadir=/tmp/db >/dev/null
        echo "CREATE DATABASE app;" >/tmp/init.sql
        echo "GRANT ALL ON app.* TO app@'%' IDENTIFIED BY 'secret';" >>/tmp/init.sql
        exec mariadbd --no-defaults --datadir=/tmp/db --socket=/tmp/socket --init-file=/tmp/init.sql
        """,
    ),
    "redis-cli": ("redis", "exec redis-server --bind 0.0.0.0 --requirepass secret --dir /tmp"),
}
SQL = "CREATE TABLE t (n INT); INSERT INTO t VALUES (20), (22); SELECT SUM(n) FROM t;"
ROUND_TRIP = {
    "psql": f"""
        export PGPASSWORD=secret
        psql --host=$SERVER --username=postgres --quiet --tuples-only --no-align --command "{SQL}"
        """,
    "mysql": f"""MYSQL_PWD=secret mysql --host=$SERVER --user=app --batch --skip-column-names --execute "{SQL}" app""",
    "redis-cli": """
        export REDISCLI_AUTH=secret && redis-cli -h $SERVER SET n 20 >/dev/null && redis-cli -h $SERVER INCRBY n 22
        """,
}
PORTS = {"psql": 5432, "mysql": 3306, "redis-cli": 6379}
# A server needs some seconds to create its files; PostgreSQL's listens before it answers.
WAIT = """
for attempt in $(seq 900); do
    (exec 3<>/dev/tcp/$SERVER/$PORT) 2>/dev/null &&
        { [ "$PORT" != 5432 ] || pg_isready --quiet --host=$SERVER; } && break
    sleep 0.1
done
"""


@pytest.fixture(scope="module")
def servers(client: docker.DockerClient, contract: Image) -> Iterator[str]:
    """An image with Debian's packages of the three servers, from the build cache after the first time.

    Where Debian is not reached, the checks are not run.
    """
    settings = this_host.find(contract.variant.distro.suite)
    tag = f"slipway-servers:{os.getpid()}"
    command = ["docker", "buildx", "build", "--progress=plain", "--load", "--provenance=false", f"--tag={tag}", "-"]
    command[3:3] = settings.build_arguments()
    dockerfile = SERVERS.format(base=contract.variant.distro.image, unreached=UNREACHED)
    environment = os.environ | settings.environment()
    built = subprocess.run(command, input=dockerfile, capture_output=True, text=True, env=environment, check=False)
    if f"exit code: {UNREACHED}" in built.stderr and (reason := re.search("E: .+", built.stderr)):
        pytest.skip(f"Debian's package lists were not reached: {reason[0]}")
    assert built.returncode == 0, built.stderr
    yield tag
    client.images.remove(tag, force=True)


@pytest.fixture(scope="module")
def network(client: docker.DockerClient) -> Iterator[Network]:
    """An internal network for these checks."""
    network = client.networks.create(f"slipway-servers-{os.getpid()}", internal=True, labels={TEST_LABEL: ""})
    yield network
    network.remove()


@pytest.fixture
def server(client: docker.DockerClient, servers: str, network: Network, command: str) -> Iterator[str]:
    """The host name of a client's server in the network."""
    user, script = START[command]
    name = f"{network.name}-{command}"
    options = {"user": user, "network": network.name, "name": name, "use_config_proxy": False, "labels": [TEST_LABEL]}
    container = client.containers.create(servers, ["sh", "-ec", script], **options)
    with contextlib.ExitStack() as stack:
        stack.callback(container.remove, force=True, v=True)
        container.start()
        yield container.name


@pytest.mark.requirement("C2")
@pytest.mark.parametrize("command", CLIENTS)
def test_client_is_debians(host: Host, packages: dict[str, str], command: str) -> None:
    """It gets Debian's fixes: what starts by its name has the version of the package, without Debian's own part."""
    assert packages.get(CLIENTS[command]) == "ii"
    version = host.check_output("dpkg-query --show --showformat='${source:Upstream-Version}' %s", CLIENTS[command])
    upstream = re.escape(version.partition("+")[0])
    assert re.search(rf"\b{upstream}\b", host.check_output("%s --version", command))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.requirement("C2")
@pytest.mark.parametrize("command", CLIENTS)
def test_client_stores_and_finds(run: Run, server: str, network: Network, command: str) -> None:
    """Over the network, with a password: numbers are written, read back and added up."""
    environment = {"SERVER": server, "PORT": str(PORTS[command])}
    output = run(
        "bash", "-ec", WAIT + ROUND_TRIP[command], network_mode=network.name, environment=environment
    ).require_success()
    assert output.split()[-1] == "42"
