"""The container, the service and the install check for a Jetson: what can be held without one."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_bundle import tiny_bundle

from edge_arm.runtime.machine import jetpack_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ORIN_NANO = {
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
    "proc/meminfo": "MemTotal:  7802892 kB\nMemAvailable:    5120000 kB\n",
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n",
    "usr/lib/python3.10/dist-packages/tensorrt/__init__.py": "",
    "usr/lib/aarch64-linux-gnu/nvidia/libcuda.so.1": "",
    "dev/video0": "",
    "dev/video10": "",
}


@pytest.fixture
def jetson(repository: Path) -> Path:
    return repository / "runtime" / "jetson"


@pytest.fixture
def dockerfile(jetson: Path) -> str:
    return (jetson / "Dockerfile").read_text(encoding="utf-8")


@pytest.fixture
def service(jetson: Path) -> str:
    return (jetson / "edge-arm.service").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def project(repository: Path) -> dict[str, Any]:
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))


def _instructions(dockerfile: str) -> list[list[str]]:
    """Words of each instruction, comments left out."""
    lines = [line for line in dockerfile.splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [shlex.split(line) for line in joined.splitlines() if line.strip()]


def _typed(text: str) -> Iterator[list[str]]:
    """What follows `edge-arm` in the commands of a file's comments."""
    comments = "\n".join(line[1:] for line in text.splitlines() if line.startswith("#"))
    for line in comments.replace("\\\n", " ").splitlines():
        if not re.match(r" +(docker run|sudo -u) ", line):
            continue
        words = shlex.split(line.partition("<")[0].partition(">")[0])
        commands = [n for n, word in enumerate(words) if re.fullmatch(r"(.*/bin/)?edge-arm", word)]
        yield words[commands[-1] + 1 :]


def _settings(service: str, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", service, re.M)


def _complaint(command_tree: Any, words: list[str]) -> str:
    """Why the command line would refuse these words, or nothing. Nothing is executed."""
    command, context, rest = command_tree, None, words
    try:
        while True:
            context = command.make_context(str(command.name), list(rest), parent=context)
            if not hasattr(command, "resolve_command"):
                return ""
            rest = [*getattr(context, "_protected_args", ()), *context.args]
            _, command, rest = command.resolve_command(context, rest)
    except Exception as error:
        if hasattr(error, "format_message"):
            return f"edge-arm {shlex.join(words)}: {error.format_message()}"
        raise


# --- the container


def test_everything_that_the_container_copies_is_here(repository: Path, dockerfile: str) -> None:
    copies = [words[1:-1] for words in _instructions(dockerfile) if words[0] == "COPY"]
    sources = [name for words in copies if not words[0].startswith("--from") for name in words]
    missing = [name for name in sources if not (repository / name).exists()]
    assert sources
    assert not missing


def test_the_wheel_of_the_container_is_made_from_all_of_the_project(
    dockerfile: str, project: dict[str, Any]
) -> None:
    copied = {
        name.rstrip("/")
        for words in _instructions(dockerfile)
        if words[0] == "COPY" and not words[1].startswith("--from")
        for name in words[1:-1]
    }
    folders = project["tool"]["setuptools"]["package-dir"].values()
    needed = {folder.partition("/")[0] for folder in folders}
    needed |= {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    assert needed <= copied


def test_the_extras_that_the_container_knows_are_the_projects(
    dockerfile: str, project: dict[str, Any]
) -> None:
    (default,) = [w[1].partition("=")[2] for w in _instructions(dockerfile) if "EXTRA=" in w[1]]
    named = set(re.findall(r'# "([\w-]+)" brings|; "([\w-]+)" needs', dockerfile)[0])
    known = set(project["project"]["optional-dependencies"])
    assert default in known
    assert {name for pair in named for name in [pair] if name} <= known


def test_the_containers_base_is_a_jetpack_that_we_know(dockerfile: str) -> None:
    (default,) = re.findall(r"^ARG L4T_JETPACK=r(\S+)$", dockerfile, re.M)
    others = re.findall(r"--build-arg L4T_JETPACK=r([\d.]+\d)", dockerfile)
    assert jetpack_of(default) == "6.1"
    assert [jetpack_of(other) for other in others] == ["6.0"]
    bases = [words[1] for words in _instructions(dockerfile) if words[0] == "FROM"]
    assert bases[1:] == ["nvcr.io/nvidia/l4t-jetpack:${L4T_JETPACK}"] * 2


def test_the_container_runs_the_command_and_not_as_root(dockerfile: str) -> None:
    words = _instructions(dockerfile)
    last_stage = words[max(n for n, w in enumerate(words) if w[0] == "FROM") :]
    (user,) = [w[1] for w in last_stage if w[0] == "USER"]
    assert int(user.partition(":")[0]) > 0
    assert ["ENTRYPOINT", "[edge-arm]"] in last_stage
    assert not [w for w in last_stage if "build-essential" in w], "the compiler stays behind"


# --- the service


def test_the_service_runs_a_command_that_the_command_line_takes(
    service: str, command_tree: Any
) -> None:
    (line,) = _settings(service, "ExecStart")
    variables = dict(text.split("=", 1) for text in _settings(service, "Environment"))
    words = [
        re.sub(r"\$\{(\w+)\}", lambda match: variables[match[1]], word) for word in line.split()
    ]
    assert words[:3] == ["/opt/edge-arm/bin/edge-arm", "run", "camera:0"]
    assert _complaint(command_tree, words[1:]) == ""
    folder = words[words.index("--bundle") + 1]
    assert _settings(service, "ConditionPathExists") == [f"{folder}/manifest.json"]


def test_the_service_is_nobodys_root_and_gets_the_camera_and_the_gpu(service: str) -> None:
    assert _settings(service, "User") == ["edge-arm"]
    assert _settings(service, "SupplementaryGroups") == ["video render"]
    assert _settings(service, "NoNewPrivileges") == ["yes"]
    assert _settings(service, "CapabilityBoundingSet") == [""]


def test_the_service_reaches_the_daemon_of_csi_cameras(service: str, dockerfile: str) -> None:
    # The socket of the daemon lies in /tmp, and the container is given it by hand.
    (socket,) = set(re.findall(r"-v (\S+):\1`", dockerfile))
    assert _settings(service, "PrivateTmp") == ["yes"]
    assert _settings(service, "BindPaths") == [f"-{socket}"]
    assert "nvargus-daemon.service" in _settings(service, "After")[0].split()


def test_every_cache_of_the_service_lies_where_it_may_write(service: str) -> None:
    assert _settings(service, "ProtectSystem") == ["strict"]
    caches = [f"/var/cache/{name}" for name in _settings(service, "CacheDirectory")]
    variables = dict(text.split("=", 1) for text in _settings(service, "Environment"))
    assert [variables["XDG_CACHE_HOME"]] == caches


def test_the_service_is_installed_from_where_its_files_are(service: str) -> None:
    # The archive and the unit are named without a folder, so nothing may go to another one before.
    steps = re.findall(r"^#   (.+)$", service, re.M)
    assert not [step for step in steps if step.startswith("cd ")]
    bundles = re.findall(r"--(?:out|bundle) (\S+)", "\n".join(steps))
    assert bundles == ["/var/lib/edge-arm/bundle"] * 2


def test_the_page_about_jetsons_promises_only_steps_of_the_check(
    repository: Path, jetson: Path
) -> None:
    script = (jetson / "install_check.sh").read_text(encoding="utf-8")
    page = (repository / "docs" / "jetson.md").read_text(encoding="utf-8")
    (promised,) = re.findall(r" looks the device over: (.*), and real answers on a", page)
    for name in promised.split(", "):
        assert re.search(rf"\b(yes|no|note) '?{name.rstrip('s')}", script, re.I), name


def test_the_commands_in_the_comments_are_taken(
    dockerfile: str, service: str, command_tree: Any
) -> None:
    typed = [*_typed(dockerfile), *_typed(service)]
    assert [words[0] for words in typed] == ["doctor", "bundle", "build", "run", "bundle", "build"]
    assert [complaint for words in typed if (complaint := _complaint(command_tree, words))] == []


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not here")
def test_systemd_finds_nothing_wrong_with_the_service(service: str, tmp_path: Path) -> None:
    # It asks for the executable, so one that is here stands in its place.
    unit = tmp_path / "edge-arm.service"
    unit.write_text(
        service.replace("ExecStart=/opt/edge-arm/bin/edge-arm", f"ExecStart={sys.executable}"),
        encoding="utf-8",
    )
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "edge-arm.service" not in done.stderr


# --- the install check


def _check(jetson: Path, root: Path, *words: str) -> tuple[int, dict[str, str], str]:
    """Exit status, the mark of each step, and all that was said."""
    done = subprocess.run(
        [str(jetson / "install_check.sh"), "--root", str(root), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = re.findall(r"^(yes|no|note) +(\S+(?: \S+)*?) {2,}", done.stdout, re.M)
    return done.returncode, {name: mark for mark, name in lines}, done.stdout + done.stderr


def test_a_folder_with_nothing_in_it_lacks_everything_and_each_has_its_command(
    jetson: Path, tmp_path: Path
) -> None:
    status, marks, said = _check(jetson, tmp_path, "--edge-arm", "no-such-command")
    assert status == 1
    lacking = [name for name, mark in marks.items() if mark == "no"]
    assert set(lacking) >= {"board", "Jetson Linux", "TensorRT", "GPU driver", "edge-arm"}
    assert said.count("-> ") == len(lacking)
    assert f"{len(lacking)} of the steps above are missing" in said


def test_a_jetson_with_everything_is_found_whole_up_to_the_answer(
    jetson: Path, tmp_path: Path
) -> None:
    for name, text in ORIN_NANO.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    bundle = tiny_bundle(tmp_path / "bundle").path
    command = Path(sys.executable).with_name("edge-arm")
    status, marks, said = _check(
        jetson, tmp_path / "root", "--edge-arm", str(command), "--bundle", str(bundle)
    )
    rights = marks.pop("rights")  # of whoever runs the tests
    assert marks == {
        "board": "yes",
        "Jetson Linux": "yes",
        "python3": "yes",
        "TensorRT": "yes",
        "GPU driver": "yes",
        "CUDA toolkit": "note",
        "memory": "yes",
        "camera": "yes",
        "edge-arm": "yes",
        "bundle": "yes",
        "answers": "yes",
    }, said
    assert "video0 video10" in said
    assert status == (0 if rights == "yes" else 1)


def test_without_a_place_for_the_clip_nothing_is_written_elsewhere(
    jetson: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A command that takes everything and notes what it was asked.
    command, asked = tmp_path / "edge-arm", tmp_path / "asked"
    command.write_text(f'#!/bin/sh\necho "$@" >> {shlex.quote(str(asked))}\n', encoding="utf-8")
    command.chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    _, marks, said = _check(jetson, tmp_path, "--edge-arm", str(command), "--bundle", "x")
    assert marks["answers"] == "no"
    assert "-> free some space, or set TMPDIR" in said
    assert asked.read_text(encoding="utf-8").splitlines() == ["--version", "bundle verify x"]


def test_an_older_jetpack_is_told_what_to_do(jetson: Path, tmp_path: Path) -> None:
    release = tmp_path / "etc" / "nv_tegra_release"
    release.parent.mkdir()
    release.write_text("# R35 (release), REVISION: 4.1, GCID: 1, BOARD: x\n", encoding="utf-8")
    _, marks, said = _check(jetson, tmp_path, "--edge-arm", "no-such-command")
    assert marks["Jetson Linux"] == "no"
    assert "R35.4.1 is of JetPack 5 or older, expected R36" in said


@pytest.mark.parametrize("words", [["--bundle"], ["--unknown", "x"]])
def test_an_unknown_option_is_status_2(jetson: Path, words: list[str]) -> None:
    done = subprocess.run(
        [str(jetson / "install_check.sh"), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"got '{words[0]}'" in done.stderr
    assert "expected [--bundle DIR]" in done.stderr
