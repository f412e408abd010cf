"""Spark on files, on one machine, for any user."""

import json

import pytest
from testinfra.host import Host

from slipway import repository
from tests.images.helpers.containers import Run
from tests.images.helpers.distributions import read_pins
from tests.images.helpers.scope import applies

pytestmark = applies(workload="compute")

LOCK = repository.ROOT / "requirements" / "compute.txt"
# Orders and customers as text, and both formats as Spark writes and reads them.
JOB = """
import json, pathlib
from pyspark.sql import SparkSession, functions

folder = pathlib.Path("/data/job")
folder.mkdir()
(folder / "orders.csv").write_text("customer,amount\\n1,10\\n2,20\\n1,30\\n")
(folder / "customers.csv").write_text("customer,name\\n1,Ada\\n2,Grace\\n")
settings = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.sql.shuffle.partitions": "2"}
spark = SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
spark.read.csv(f"{folder}/customers.csv", header=True, inferSchema=True).write.parquet(f"{folder}/customers")
orders = spark.read.csv(f"{folder}/orders.csv", header=True, inferSchema=True)
customers = spark.read.parquet(f"{folder}/customers")
totals = orders.join(customers, "customer").groupBy("name").agg(functions.sum("amount").alias("total"))
doubled = functions.udf(lambda number: 2 * number, "long")
totals.select("name", "total", doubled("total").alias("twice")).write.parquet(f"{folder}/totals")
rows = spark.read.parquet(f"{folder}/totals").orderBy("name").collect()
print(json.dumps({"rows": [list(row) for row in rows], "version": spark.version}))
"""


@pytest.mark.slow
@pytest.mark.timeout(300)  # Java starts slowly beside other builds
@pytest.mark.requirement("C2", "U10")
def test_spark_joins_files(run: Run) -> None:
    """Text and Parquet in, Parquet out, with a function in Python: one volume, no network, any user, no rights."""
    volumes = {"/tmp": "", "/data": "exec,mode=0770,uid=123456"}
    output = run(
        "python", "-c", JOB, read_only=True, cap_drop=["ALL"], user="123456:0", tmpfs=volumes
    ).require_success()
    result = json.loads(output.splitlines()[-1])
    assert result["rows"] == [["Ada", 40, 80], ["Grace", 20, 40]]
    assert result["version"] == read_pins(LOCK)["pyspark"]
    assert "Exception" not in output


def test_spark_without_a_place_for_programs_is_one_clear_message(run: Run) -> None:
    """Java loads libraries from its temporary folder, and docker mounts memory at /tmp noexec."""
    finished = run("/opt/venv/bin/spark-submit", "--version", read_only=True, tmpfs={"/tmp": ""})
    assert finished.exit_code == 1
    assert finished.output.splitlines()[-1].startswith("error: Spark needs a folder for temporary files")


@pytest.mark.requirement("C2")
def test_java_is_debians_and_headless(host: Host) -> None:
    """One Java, the same by JAVA_HOME and on PATH, without graphics."""
    home = host.check_output("realpath $JAVA_HOME")
    assert host.check_output("realpath $(command -v java)") == f"{home}/bin/java"
    assert host.check_output("ls /usr/lib/jvm/*/bin/java | xargs realpath | sort -u") == f"{home}/bin/java"
    assert not host.file(f"{home}/lib/libawt_xawt.so").exists
