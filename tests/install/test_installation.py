"""The checkout in a fresh environment: README's first command, and the steps of the Dockerfile."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.install
ROOT = Path(__file__).resolve().parents[2]
INSTALL_SECONDS = 900
#: The demonstration waits for the next full minute.
DEMO_SECONDS = 120
START_SECONDS = 30
END_SECONDS = 30


def first_command() -> str:
    """The first block of shell in README.md."""
    block = re.search(r"(?ms)^```sh$\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"))
    assert block is not None
    return block[1].strip()


def install_part() -> str:
    """The first command without its last step, which runs what has been installed."""
    steps = first_command().split(" && ")
    assert steps[-1] == ".venv/bin/feedsvc demo"
    return " && ".join(steps[:-1])


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without settings of feedsvc, and without another Python's ways."""
    left_out = ("FEEDSVC_", "PYTHON", "VIRTUAL_ENV")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
    return kept | more


@dataclass(frozen=True)
class Checkout:
    """A copy of the checkout with an environment in it."""

    folder: Path
    #: What the checkout holds, as paths in it.
    files: frozenset[str]

    def installed_files(self) -> frozenset[str]:
        """What the installed wheel held, by its own record."""
        (record,) = self.folder.glob(".venv/lib/python3.11/site-packages/feedsvc-*/RECORD")
        return frozenset(line.split(",")[0] for line in record.read_text("utf-8").splitlines())


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The files that git knows or would know, installed as README.md says."""
    folder = tmp_path_factory.mktemp("checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    names = [name for name in listed.stdout.decode().split("\0") if (ROOT / name).is_file()]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", install_part()],
        cwd=folder,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return Checkout(folder, frozenset(names))


# README


def test_the_package_holds_everything_it_runs_on(checkout: Checkout) -> None:
    installed = checkout.installed_files()
    for name in checkout.files:
        if name.startswith("feedsvc/"):
            assert name in installed
        elif name.startswith("templates/") or name == "config.toml":
            assert f"feedsvc/_data/{name}" in installed
    for pattern in (
        "feedsvc/_data/templates/mail/plain/digest.html",
        "feedsvc/_data/templates/site/home.html",
        "feedsvc/_data/config.toml",
        "feedsvc/db/migrations/versions/0001_first_walk.py",
        "feedsvc/locale/zh/mail.po",
        "feedsvc/demo_articles/01-city-library-evenings.md",
    ):
        assert pattern in installed


def test_the_package_holds_nothing_else(checkout: Checkout) -> None:
    ours = {name for name in checkout.installed_files() if not name.endswith(".pyc")}
    tops = {name.split("/")[0] for name in ours if not name.startswith("..")}
    assert {top for top in tops if not re.fullmatch(r"feedsvc-.+\.dist-info", top)} == {"feedsvc"}


def test_the_demonstration_mails_three_readers(checkout: Checkout, tmp_path: Path) -> None:
    elsewhere, temporary = tmp_path / "elsewhere", tmp_path / "temporary"
    elsewhere.mkdir()
    temporary.mkdir()
    done = subprocess.run(
        [checkout.folder / ".venv/bin/feedsvc", "demo", "--once", "--port", "0"],
        cwd=elsewhere,
        env=clean_environment(TMPDIR=str(temporary), LANG="C.UTF-8"),
        capture_output=True,
        text=True,
        timeout=DEMO_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(re.findall(r"(?m)^ +/\S+/outbox/\S+\.eml$", done.stdout)) == 3
    for reader in ("alice", "li.lei", "han.meimei"):
        assert re.search(rf"(?m)^ +to .*{reader}@example\.com.*: \S", done.stdout)
    assert list(elsewhere.iterdir()) == []
    assert list(temporary.iterdir()) == []


# Dockerfile


@dataclass(frozen=True)
class Step:
    """An instruction of the Dockerfile with what follows it."""

    name: str
    rest: str


def docker_steps() -> list[Step]:
    """The instructions of the Dockerfile in their order, with continued lines joined."""
    text = re.sub(r"(?m)^\s*#.*\n", "", (ROOT / "Dockerfile").read_text("utf-8"))
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [Step(*line.split(maxsplit=1)) for line in lines if line.strip()]


STEPS = docker_steps()


def only(name: str) -> str:
    """What follows an instruction that stands there once."""
    (rest,) = (step.rest for step in STEPS if step.name == name)
    return rest


def exec_form(text: str) -> list[str]:
    """The words of a command in the form that runs without a shell."""
    words = json.loads(text[text.index("[") :])
    assert all(isinstance(word, str) for word in words)
    return words


def last_before(name: str, position: int) -> str:
    """What the last instruction of a name before a position says."""
    return [step.rest for step in STEPS[:position] if step.name == name][-1]


def test_the_image_is_of_the_python_the_readme_names() -> None:
    assert re.fullmatch(r"python:3\.11(-slim)?", only("FROM"))
    assert STEPS[0].name == "FROM"


def test_the_image_installs_by_the_readme_and_not_as_root() -> None:
    (position,) = (at for at, step in enumerate(STEPS) if "pip install" in step.rest)
    assert STEPS[position] == Step("RUN", install_part())
    assert last_before("USER", position) not in ("root", "0")
    assert last_before("COPY", position).endswith(". .")
    assert only("USER") == last_before("USER", position)


def test_the_image_keeps_its_data_in_a_volume_and_runs_there() -> None:
    assert last_before("WORKDIR", len(STEPS)) == only("VOLUME")


def test_the_image_runs_what_it_installed() -> None:
    (position,) = (at for at, step in enumerate(STEPS) if "pip install" in step.rest)
    environment = f"{last_before('WORKDIR', position)}/.venv/bin"
    assert exec_form(only("CMD")) == [f"{environment}/feedsvc", "serve"]
    assert exec_form(only("HEALTHCHECK").partition("CMD")[2])[0] == f"{environment}/python"
    assert only("STOPSIGNAL") == "SIGTERM"


def test_the_image_does_not_copy_what_stays_here() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").split()
    assert {".git", ".venv", "data", "outbox"} <= set(ignored)


@dataclass(frozen=True)
class Container:
    """What stands for a container: its data, and the folders it must leave alone."""

    data: Path
    others: tuple[Path, ...]
    environment: dict[str, str]
    port: int
    command: list[str]
    health: list[str]

    def is_healthy(self) -> bool:
        """Whether the HEALTHCHECK's command says so."""
        done = subprocess.run(
            self.health, env=self.environment, capture_output=True, timeout=30, check=False
        )
        return done.returncode == 0

    def elsewhere(self) -> dict[str, int]:
        """Every file outside the data with the time of its last change."""
        return {
            str(path): path.lstat().st_mtime_ns for other in self.others for path in walk(other)
        }


def walk(folder: Path) -> Iterator[Path]:
    for path, _, names in os.walk(folder):
        yield Path(path)
        yield from (Path(path, name) for name in names)


@pytest.fixture
def container(checkout: Checkout, tmp_path: Path) -> Container:
    """The Dockerfile's environment, with folders of ours in place of the image's."""
    for name in ("data", "home", "temporary"):
        (tmp_path / name).mkdir()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    name, _, value = only("ENV").partition("=")
    app = last_before("WORKDIR", [step.name for step in STEPS].index("COPY"))

    def here(words: list[str]) -> list[str]:
        return [
            word.replace(f"{app}/.venv", f"{checkout.folder}/.venv").replace(":8000/", f":{port}/")
            for word in words
        ]

    return Container(
        tmp_path / "data",
        (checkout.folder, tmp_path / "home", tmp_path / "temporary"),
        clean_environment(
            HOME=str(tmp_path / "home"),
            TMPDIR=str(tmp_path / "temporary"),
            FEEDSVC_SERVER__PORT=str(port),
            **{name: value},
        ),
        port,
        here(exec_form(only("CMD"))),
        here(exec_form(only("HEALTHCHECK").partition("CMD")[2])),
    )


def test_the_container_serves_is_healthy_ends_when_asked_and_writes_to_its_volume_alone(
    container: Container,
) -> None:
    before = container.elsewhere()
    assert str(container.port) in "".join(container.health)
    assert not container.is_healthy()
    with subprocess.Popen(
        container.command,
        cwd=container.data,
        env=container.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            until = time.monotonic() + START_SECONDS
            while not container.is_healthy():
                assert process.poll() is None, process.communicate()[0]
                assert time.monotonic() < until
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=END_SECONDS)
        finally:
            process.kill()
    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert container.elsewhere() == before
    written = {str(path.relative_to(container.data)) for path in walk(container.data)}
    assert {"data/feedsvc.db", "data/keys.json"} <= written
