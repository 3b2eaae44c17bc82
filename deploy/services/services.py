"""The real servers for `make test-real`: Apache Kafka, redis-server, FerretDB.

    python deploy/services/services.py start|stop|restart|status|environment [NAME...]

Fetches what is missing, starts each as a daemon on loopback with its data under
`.masterx/services/`, and waits until it answers. Idempotent. A server that is not to
be had on this machine is named with the reason; the tests use the embedded one for it.

Stands alone (standard library only): it runs before anything is installed, and tests
import it to stop and restart a server. Ports: SERVICES_KAFKA_PORT, SERVICES_REDIS_PORT,
SERVICES_MONGO_PORT; folder: SERVICES_DIR.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = Path(os.environ.get("SERVICES_DIR") or HERE.parents[1] / ".masterx" / "services")
HOST = "127.0.0.1"
PORTS = {
    "kafka": int(os.environ.get("SERVICES_KAFKA_PORT", "29092")),
    "redis": int(os.environ.get("SERVICES_REDIS_PORT", "26379")),
    "mongo": int(os.environ.get("SERVICES_MONGO_PORT", "27117")),
}
VARIABLES = {
    "kafka": ("MASTERX_KAFKA__BOOTSTRAP", "{host}:{port}"),
    "redis": ("MASTERX_REDIS__URL", "redis://{host}:{port}/0"),
    "mongo": ("MASTERX_MONGO__URL", "mongodb://{host}:{port}"),
}
LISTENERS = range(20_000, 30_000)
NAMES = tuple(PORTS)
START_TIMEOUT = 60.0
STOP_TIMEOUT = 30.0


class NotToBeHad(RuntimeError):
    """This server cannot be fetched or started here; the text says why."""


# -- what each server is --------------------------------------------------------------------


def kafka_command() -> list[str]:
    """One KRaft node, broker and controller; formats its storage at the first start."""
    java = _tool("java", "Install a Java runtime, version 17 or later.")
    home = FOLDER / "kafka"
    libs = home / "libs"
    if not (libs / ".complete").exists():
        maven = _tool("mvn", "Install Maven; it fetches Kafka from Maven Central.")
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={libs}"]
        _run([maven, "-q", "-B", "-f", str(HERE / "kafka" / "pom.xml"), *goal], "fetching Kafka")
        (libs / ".complete").touch()
    config = home / "server.properties"
    controller_port = _stored_port(home / "controller.port")
    config.write_text(
        f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{HOST}:{controller_port}
listeners=PLAINTEXT://{HOST}:{PORTS["kafka"]},CONTROLLER://{HOST}:{controller_port}
advertised.listeners=PLAINTEXT://{HOST}:{PORTS["kafka"]}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={home / "data"}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=10
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=10
group.initial.rebalance.delay.ms=0
"""
    )
    run = [java, "-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-cp", f"{libs}/*",
           f"-Dlog4j2.configurationFile={HERE / 'kafka' / 'log4j2.properties'}"]  # fmt: skip
    if not (home / "data" / "meta.properties").exists():
        _run([*run, "kafka.tools.StorageTool", "format", "-t", "4L6g3nShT-eMCtK--X86sw",
              "-c", str(config)], "formatting Kafka's storage")  # fmt: skip
    return [*run, "kafka.Kafka", str(config)]


# In runlevel 1 the package's own daemon is not started.
_APT = (
    "apt-get update -q && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive "
    "apt-get install -q -y --no-install-recommends redis-server"
)


def redis_command() -> list[str]:
    """redis-server from the system; installed with apt when we may."""
    if shutil.which("redis-server") is None and shutil.which("apt-get") and os.geteuid() == 0:
        _run(["sh", "-c", _APT], "installing redis-server")
    server = _tool("redis-server", "Install it: apt-get install redis-server")
    home = FOLDER / "redis"
    config = home / "redis.conf"
    config.write_text(
        f'bind {HOST}\nport {PORTS["redis"]}\ndaemonize no\ndir "{home}"\n'
        'appendonly yes\nappendfsync everysec\nsave ""\n'
    )
    return [server, str(config)]


def mongo_command() -> list[str]:
    """FerretDB v1 with SQLite, built from its Go module."""
    home = FOLDER / "mongo"
    binary = home / "ferretdb"
    sources = [HERE / "mongo" / name for name in ("main.go", "go.mod", "go.sum")]
    if not binary.exists() or any(s.stat().st_mtime > binary.stat().st_mtime for s in sources):
        go = _tool("go", "Install Go 1.22 or later; it builds FerretDB.")
        _run([go, "build", "-o", str(binary), "."], "building FerretDB (a minute)",
             cwd=HERE / "mongo")  # fmt: skip
    (home / "data").mkdir(exist_ok=True)
    return [str(binary), "-listen", f"{HOST}:{PORTS['mongo']}", "-data", str(home / "data")]


COMMANDS: dict[str, Callable[[], list[str]]] = {
    "kafka": kafka_command,
    "redis": redis_command,
    "mongo": mongo_command,
}


# -- start and stop --------------------------------------------------------------------------


def start(name: str) -> None:
    """Start one server and return once it answers. Nothing happens if it runs.

    Raises:
        NotToBeHad: cannot be fetched, or does not answer; the text holds its log's end.
    """
    if pid(name) is not None:
        _wait(name)
        return
    (FOLDER / name).mkdir(parents=True, exist_ok=True)
    command = COMMANDS[name]()
    if _connects(name):
        raise NotToBeHad(f"port {PORTS[name]} is in use; set SERVICES_{name.upper()}_PORT")
    with _log(name).open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=FOLDER / name,
            start_new_session=True,
        )
    _pid_file(name).write_text(json.dumps({"pid": process.pid, "began": _began(process.pid)}))
    _wait(name, process)


def stop(name: str) -> None:
    """SIGTERM, and SIGKILL after half a minute. Nothing happens if it does not run."""
    running = pid(name)
    if running is None:
        return
    os.kill(running, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT
    while pid(name) is not None:
        if time.monotonic() > deadline:
            os.kill(running, signal.SIGKILL)
        # A child of ours stays a zombie until it is reaped.
        with suppress(ChildProcessError):
            os.waitpid(running, os.WNOHANG)
        time.sleep(0.05)
    _pid_file(name).unlink(missing_ok=True)


def kill(name: str) -> None:
    """SIGKILL: the server has no chance to save anything."""
    running = pid(name)
    if running is not None:
        os.kill(running, signal.SIGKILL)
        stop(name)


def restart(name: str) -> None:
    """Stop and start, same port, same data."""
    stop(name)
    start(name)


def pid(name: str) -> int | None:
    """Process id of a server that we started and that runs."""
    try:
        noted = json.loads(_pid_file(name).read_text())
    except (FileNotFoundError, ValueError):
        return None
    # The kernel gives a process id out again: it is ours only if it began when ours did.
    began = _began(noted["pid"])
    return int(noted["pid"]) if began is not None and began == noted["began"] else None


def endpoints() -> dict[str, str]:
    """Where the servers that run are, as the settings spell it."""
    return {
        name: VARIABLES[name][1].format(host=HOST, port=PORTS[name])
        for name in NAMES
        if pid(name) is not None
    }


# -- details ---------------------------------------------------------------------------------


def _wait(name: str, process: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not _answers(name):
        ended = process is not None and process.poll() is not None
        if ended or time.monotonic() > deadline:
            stop(name)
            end = "\n".join(_log(name).read_text(errors="replace").splitlines()[-15:])
            what = "ended at start" if ended else f"does not answer after {START_TIMEOUT:g} s"
            raise NotToBeHad(f"{what}. The end of {_log(name)}:\n{end}")
        time.sleep(0.1)


def _connects(name: str) -> bool:
    try:
        socket.create_connection((HOST, PORTS[name]), timeout=1).close()
    except OSError:
        return False
    return True


# The smallest request of each protocol that only a working server answers:
# ApiVersions v0; PING; OP_MSG {ping: 1, $db: "admin"}.
_KAFKA_API_VERSIONS = bytes.fromhex("0000000c 0012 0000 00000001 0002 6d78".replace(" ", ""))
_MONGO_PING = bytes.fromhex(
    "33000000 01000000 00000000 dd070000 00000000 00"
    "1e000000 1070696e670001000000 022464620006000000 61646d696e00 00".replace(" ", "")
)
_REQUESTS = {
    "kafka": (_KAFKA_API_VERSIONS, b"\x00\x00\x00\x01\x00\x00"),
    "redis": (b"PING\r\n", b"+PONG"),
    "mongo": (_MONGO_PING, b"ok\x00"),
}


def _answers(name: str) -> bool:
    request, wanted = _REQUESTS[name]
    try:
        with socket.create_connection((HOST, PORTS[name]), timeout=2) as connection:
            connection.sendall(request)
            return wanted in connection.recv(4096)
    except OSError:
        return False


def _began(process: int) -> str | None:
    """When a live process began, in the kernel's ticks; None for none, or a zombie."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]


def _port_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _stored_port(file: Path) -> int:
    """A port, chosen once: the controller's place is in its quorum's configuration.

    Below the ports of outgoing connections: one of those could take it while Kafka is stopped.
    """
    if not file.exists():
        file.write_text(str(next(port for port in LISTENERS if not _port_taken(port))))
    return int(file.read_text())


def _tool(name: str, remedy: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise NotToBeHad(f"{name} is not installed. {remedy}")
    return found


def _run(command: list[str], what: str, cwd: Path | None = None) -> None:
    print(f"{what} ...", flush=True)
    run = subprocess.run(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if run.returncode != 0:
        raise NotToBeHad(f"{what} failed:\n" + "\n".join(run.stdout.splitlines()[-15:]))


def _log(name: str) -> Path:
    return FOLDER / f"{name}.log"


def _pid_file(name: str) -> Path:
    return FOLDER / f"{name}.json"


def main(arguments: list[str]) -> int:
    """Run one action. `environment` prints the variables of what runs, for a shell."""
    action, *names = arguments or ["status"]
    chosen = names or list(NAMES)
    unknown = [name for name in chosen if name not in NAMES]
    if unknown or action not in ("start", "stop", "restart", "status", "environment"):
        print(__doc__)
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in chosen:
        if action in ("stop", "restart"):
            stop(name)
        if action in ("start", "restart"):
            try:
                start(name)
            except NotToBeHad as reason:
                print(f"{name}: not to be had here (tests use the embedded one): {reason}")
                continue
        if action == "environment":
            if name in endpoints():
                print(f"{VARIABLES[name][0]}={endpoints()[name]}")
        else:
            print(f"{name}: {endpoints().get(name, 'stopped')}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
