"""Whatever one types: an exit status of the documented ones, words, and never a traceback."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.cli.app import PANEL, PANELS, run
from labkit.operate.records import record as records
from tests.verbs import in_process, verbs

REPOSITORY = Path(__file__).resolve().parent.parent.parent.parent
# These build, delete or probe: what they do is tested where it lies.
HARMLESS = sorted(set(PANEL) - {"image", "doctor", "up"})
WORDS = (
    "", "-", "--", "-l", "-o", "-f", "--lab", "--format", "json", "table", "--follow", "--within", "-1", "0", "nan",
    "1e9",
    "--out", "--bgp", "--help", "--all", "show", "add", "remove", "overview", "rs1", "vm1", "..", "../x", "\udcff",
    "--branch-to-branch", "bgp-peers", "update",
    "\0", "\n", "\x1b[31m", "%s", "{}", "☃", "x" * 5000, "=", "--lab=", "-lx", "0.0.0.0/0",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _nowhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """In an empty folder, and with no lab on the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("cwd"))
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")  # whose labs run there does not matter
        patch.setenv("COLUMNS", "100")
        patch.delenv("PYTHONUNBUFFERED", raising=False)  # as a user has it
        patch.setenv("PYTHONPATH", os.pathsep.join((str(REPOSITORY), *filter(None, sys.path))))
        yield


def labkit(*arguments: str) -> tuple[int, str, str]:
    return in_process(arguments)


@given(
    st.sampled_from(HARMLESS),
    st.lists(st.sampled_from(WORDS) | st.text(st.characters(exclude_characters="/"), max_size=8), max_size=6),
)
def test_no_arguments_lead_to_a_traceback(verb: str, arguments: list[str]) -> None:
    status, out, err = labkit(verb, *arguments)
    assert status in (0, 1, 2, 3)
    assert (out + err).strip()  # something is always printed
    assert "Traceback" not in err


@given(st.lists(st.sampled_from(WORDS) | st.sampled_from(["--version", "-h", "stat", "UP"]), max_size=3))
def test_nor_does_anything_before_a_verb(arguments: list[str]) -> None:
    assert labkit(*arguments)[0] in (0, 2)


@pytest.mark.parametrize("verb", sorted(PANEL))
def test_every_verb_explains_itself(verb: str) -> None:
    status, out, _ = labkit(verb, "--help")
    assert status == 0
    assert f"Usage: labkit {verb}" in out
    assert labkit(verb, "--no-such-option")[0] == 2


def test_every_module_that_is_a_verb_is_in_the_help() -> None:
    folder = Path(importlib.import_module("labkit.cli").__path__[0])
    modules = [importlib.import_module(f"labkit.cli.{path.stem}") for path in folder.glob("*.py")]
    verbs = {m.__name__.split(".")[-1].replace("_", "-") for m in modules if hasattr(m, "command") or hasattr(m, "app")}
    assert verbs == set(PANEL)
    assert sum(len(verbs) for verbs in PANELS.values()) == len(PANEL)


NO_LAB = {"up", "list", "validate", "render", "schema", "import", "doctor", "image", "version"}
"""What is not about a running lab."""


def test_the_lab_is_named_in_one_way() -> None:
    """Every verb about a running lab has --lab; one about the lab as a whole takes it as its argument as well."""
    for verb in verbs(PANEL):
        about_a_lab = verb.words[0] not in NO_LAB
        assert {"--lab", "-l"} & {*verb.options} == ({"--lab", "-l"} if about_a_lab else set()), verb
        if about_a_lab and len(verb.words) == 1:
            assert ("LAB" in verb.arguments) is (len(verb.arguments) == ("LAB" in verb.arguments)), verb


def test_no_argument_may_be_empty() -> None:
    for verb in verbs(PANEL):
        for position, argument in enumerate(verb.arguments):
            words = ["" if i == position else "x" for i in range(len(verb.arguments))]
            status, out, err = labkit(*verb.words, *words)
            assert (status, out) == (2, ""), (verb, err)
            if all(verb.arguments.values()) and "--" not in argument:
                assert "must not be empty." in err or "Missing option" in err, (verb, err)
    assert "'--lab' / '-l' (env var: 'LABKIT_LAB'): must not be empty." in labkit("status", "--lab", "")[2]


@pytest.mark.parametrize(
    ("words", "right"),
    [
        (["--lab", "x", "status"], "labkit status --lab x"),
        (["-l", "x", "verify"], "labkit verify -l x"),
        (["--lab=x", "exec", "vm1", "true"], "labkit exec --lab=x"),
        (["-o", "json", "route-server", "show"], "labkit route-server COMMAND -o json"),
    ],
)
def test_an_option_before_the_verb_is_shown_its_place(words: list[str], right: str) -> None:
    status, _, err = labkit(*words)
    assert (status, err) == (2, f"labkit: {words[0]} belongs after the verb.\n    Write: {right}\n")


def test_what_was_typed_does_nothing_to_the_terminal() -> None:
    status, _, err = labkit("down", "\x1b[31mred\n")
    assert (status, "\x1b" in err, "\\x1b[31mred" in err) == (2, False, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("up",), ("up", "overview", "extra"), ("exec", "vm1"), ("status", "--format", "xml"),
        ("verify", "--within", "x"),
        ("gateway", "bgp-peers"), ("route-server", "update"),
        ("route-table", "bogus"), ("down", "misspelt"), ("no-such-verb",), ("-x",),
        ("down", "one", "--all"), ("down", "--lab", "one", "--all"),
        ("up", "overview", "--runtime", "x"),
        ("validate", "no-such-lab"), ("render", "overview"), ("status", "--lab", "x"), ("exec", "vm1", "--", "true"),
    ],
)  # fmt: skip
def test_wrong_usage_is_status_2_and_creates_nothing(arguments: tuple[str, ...]) -> None:
    status, out, err = labkit(*arguments)
    assert status == 2
    assert out == ""
    message, *remedy = err.splitlines()
    assert message
    assert remedy
    assert all(line.startswith("    ") for line in remedy)
    assert records.everything() == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("verify", "--within", "x"), "Invalid value for '--within': must be a number."),
        (("verify", "--within", "-1"), "Invalid value for '--within': must be at least 0."),
        (("route-server", "peering", "create", "a", "b", "--peer-asn", "x"), "'--peer-asn': must be a whole number."),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_in_our_words(arguments: tuple[str, ...], text: str) -> None:
    status, _, err = labkit(*arguments)
    assert (status, err.splitlines()[0][-len(text) :]) == (2, text)


def test_the_environment_may_say_which_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_LAB", "one")
    records.create("other", "sandbox", Path("lab.yml"), "image")
    try:
        assert "no lab called one runs here." in labkit("status")[2]
        assert "no lab called two runs here." in labkit("status", "--lab", "two")[2]
    finally:
        records.remove("other")


def labkit_process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "labkit.cli.main", *arguments]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


def test_a_reader_that_has_had_enough_is_no_error() -> None:
    script = f"{sys.executable} -m labkit.cli.main schema | head -c 10; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.endswith("0\n")
    assert done.stderr == ""


def test_output_that_does_not_fit_is_an_error() -> None:
    script = f"{sys.executable} -m labkit.cli.main schema > /dev/full"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_data_comes_before_the_error(tmp_path: Path) -> None:
    (tmp_path / "wrong.lab.yml").write_text("name: [")
    script = f"{sys.executable} -m labkit.cli.main validate {tmp_path}/wrong.lab.yml -o json 2>&1 | cat"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("{")
    assert done.stdout.endswith("Nothing was created.\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-"])
def test_streams_that_are_closed(closed: str) -> None:
    for verb, status in (("schema", 0), ("status", 2)):
        script = f"{sys.executable} -m labkit.cli.main {verb} {closed}"
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == status
        assert "Traceback" not in done.stderr


MEASURE = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(done.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""
"""A process in between: what a process forks has its peak of memory at first, and ours is larger than any bound."""


def costs(*arguments: str) -> tuple[int, float, float, str]:
    """Exit status, processor seconds, megabytes and messages of a labkit process."""
    command = [sys.executable, "-SIc", MEASURE, sys.executable, "-m", "labkit.cli.main", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    status, seconds, megabytes = done.stdout.split()
    return int(status), float(seconds), float(megabytes), done.stderr


MANY = "name: x\n" + "".join(f"k{i}: 1\n" for i in range(49_990))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{f'*a{i - 1}, ' * 10}]}}\n" for i in range(1, 11))
MACHINES = (
    "name: x\nvirtual_networks: {hub: {address_space: 10.0.0.0/8, subnets: {a: 10.0.0.0/16}}}\nvirtual_machines:\n"
    + "".join(f"  vm{i}: {{subnet: hub/a}}\n" for i in range(4000))
)
SITES = "name: x\nvirtual_networks: {hub: {address_space: 10.0.0.0/8}}\nsites:\n" + "".join(
    f"  s{i}: {{asn: 65010, prefixes: [11.{i // 256}.{i % 256}.0/24]}}\n" for i in range(4000)
)
ANYCAST = "name: x\nvirtual_networks: {hub: {address_space: 10.0.0.0/8}}\nsites:\n" + "".join(
    f"  s{i}: {{asn: 65010, prefixes: [192.168.0.0/16]}}\n" for i in range(4000)
)
UNKNOWN = (
    "name: x\nvirtual_networks:\n"
    + "".join(f"  network-{i}: {{address_space: 10.{i // 256}.{i % 256}.0/24}}\n" for i in range(2000))
    + "virtual_machines:\n"
    + "".join(f"  vm{i}: {{subnet: netwrk-{i}/a}}\n" for i in range(2000))
)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("[" * (1 << 20), 2),
        (MERGES, 2),
        (MANY, 2),
        (MACHINES, 0),
        (SITES, 0),
        (ANYCAST, 0),
        (UNKNOWN, 2),
        (MACHINES + "variants:\n" + "".join(f"  v{i}: {{}}\n" for i in range(1000)), 2),
        ("a: " + "x" * (1 << 20), 2),
    ],
    ids=["brackets", "merges", "unknown keys", "machines", "sites", "one range", "unknown names", "variants", "long"],
)
def test_what_a_lab_file_costs_has_a_bound(tmp_path: Path, text: str, status: int) -> None:
    file = tmp_path / "x.lab.yml"
    file.write_text(text)
    found, seconds, megabytes, messages = costs("validate", str(file))
    assert found == status, messages
    # A second, where the machine has nothing else to do; else a few times what a small lab takes on it.
    assert seconds < 2 or seconds < 6 * costs("validate", "overview")[1]
    assert megabytes < 200


@pytest.mark.parametrize("verb", ["validate", "up"])
def test_a_gigabyte_is_refused_before_it_is_read(tmp_path: Path, verb: str) -> None:
    file = tmp_path / "x.lab.yml"
    file.write_text("[" * (2 << 20))
    os.truncate(file, 1 << 30)
    status, seconds, megabytes, messages = costs(verb, str(file))
    assert (status, "longer than 1,048,576 bytes" in messages) == (2, True), messages
    assert seconds < 2 or seconds < 6 * costs("validate", "overview")[1]
    assert megabytes < 200


def test_a_terminal_that_knows_no_check_marks() -> None:
    done = labkit_process("validate", "overview", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr


def test_a_state_folder_that_refuses() -> None:
    done = labkit_process("up", "overview", XDG_STATE_HOME="/proc/nowhere")
    assert done.returncode == 3
    assert done.stderr.startswith("/proc/nowhere")
    assert "XDG_STATE_HOME" in done.stderr


VERB_WITH_A_BUG = """
import labkit.cli.list as verb
def command() -> None:
    "Raise what nobody expects."
    {body}
verb.command = command
from labkit.cli.main import main
main()
"""


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("raise RuntimeError('oops')", 1),
        ("import threading; thread = threading.Thread(target=[].pop); thread.start(); thread.join()", 0),
    ],
)
def test_a_bug_is_reported_in_a_paragraph_and_kept_in_a_file(tmp_path: Path, body: str, status: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", VERB_WITH_A_BUG.format(body=body), "list"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert done.returncode == status
    assert done.stderr.startswith("this is a bug in labkit: ")
    assert "Traceback" not in done.stderr
    (report,) = tmp_path.iterdir()
    assert "Traceback" in report.read_text()
    assert str(report) in done.stderr


def test_an_interruption_while_a_class_is_made_is_one_all_the_same() -> None:
    body = """
    from labkit.operate.labs.interrupt import Interrupted
    class Named:
        def __set_name__(self, *_):
            raise Interrupted
    class Owner:
        attribute = Named()
    """
    command = [sys.executable, "-c", VERB_WITH_A_BUG.format(body=body), "list"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "interrupted.\n")


def complete(line: str) -> list[str]:
    """What bash is offered for a command line whose last word is not complete yet."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in completing(line).items():
            patch.setenv(name, value)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
            run([])
    assert (ended.value.code, err.getvalue()) == (0, "")
    return out.getvalue().split()


def completing(line: str) -> dict[str, str]:
    """The environment in which bash asks."""
    cursor = len(line.split(" ")) - 1
    return {"_LABKIT_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(cursor)}


def test_completion_as_bash_asks_for_it() -> None:
    done = labkit_process(**completing("labkit learned"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "learned-routes\n", "")


def test_completion_of_verbs_and_labs_and_nodes() -> None:
    assert complete("labkit up over") == ["overview"]
    assert complete("labkit up overview --variant active-p") == ["active-passive"]
    assert complete("labkit up nowhere --variant ") == []
    assert complete("labkit exec ") == []  # no lab, and no noise
    record = records.create("one", "sandbox", Path("/x"), "image")
    try:
        record.folder.mkdir()
        record.topology.write_text("topology: {nodes: {vm1: {}, vm2: {}, fw: {}}}")
        (record.folder / "lab.yml").write_text(
            "route_servers: {rs1: {peers: [fw, {sdwan: {asn: 1}}]}}\nnvas: {fw: {}}\nvirtual_machines: {vm1: {}}\n"
            "route_tables: {direct: {}}"
        )
        assert complete("labkit down ov") == ["overview"]
        assert complete("labkit down on") == ["one"]
        assert complete("labkit exec v") == ["vm1", "vm2"]
        assert complete("labkit effective-routes ") == ["fw", "vm1"]
        assert complete("labkit learned-routes r") == ["rs1"]
        assert complete("labkit learned-routes rs1 ") == ["fw", "sdwan"]
        assert complete("labkit route-table add ") == ["direct"]
        assert complete("labkit status --lab ") == ["one"]
        assert complete("labkit gateway advertised-routes ") == []
        record.topology.write_text("topology: {nodes: {vm1: {}, fw: {}, gw-0: {}, gw-1: {}, rs1-0: {}}}")
        (record.folder / "lab.yml").write_text(
            "route_servers: {rs1: {virtual_network: hub}, rs2: {virtual_network: far}}\n"
            "virtual_machines: {vm1: {nics: {front: hub/a, back: hub/b}}}\n"
            "gateways: {gw: {virtual_network: hub, connects_to: [{circuit1: {}}]}}"
        )
        assert complete("labkit gateway bgp") == ["bgp-peers"]
        assert complete("labkit gateway learned-routes ") == ["gw"]
        assert complete("labkit gateway advertised-routes gw ") == ["circuit1", "rs1-0", "rs1-1"]
        assert complete("labkit effective-routes ") == ["vm1/front", "vm1/back", "gw-0", "gw-1"]
        assert complete("labkit learned-routes rs1 ") == ["gw-0", "gw-1"]
        assert complete("labkit learned-routes rs2 ") == []
        assert complete("labkit route-server show ") == ["rs1", "rs2"]
        assert complete("labkit route-server update rs1 --branch-to-branch o") == ["on", "off"]
        record.topology.write_text("topology: {nodes: {vm1: {}, fw-h-xk862: {labels: {labkit-name: FW_Hub.Prod}}}}")
        assert complete("labkit exec ") == ["vm1", "FW_Hub.Prod"]
        record.topology.write_text("- [")
        assert complete("labkit exec ") == []
    finally:
        records.remove("one")
