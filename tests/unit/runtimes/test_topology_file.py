"""Reading containerlab topologies: what is supported, inherited, and how anything else is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import InvalidInput
from labkit.runtimes.topology import Bind, Healthcheck, Topology, read


def parse(tmp_path: Path, text: str) -> Topology:
    file = tmp_path / "x.clab.yml"
    file.write_text(text)
    return read(file)


def mistakes(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        parse(tmp_path, text)
    assert caught.value.exit_code == 2
    assert caught.value.remedy
    return caught.value.message.replace(f"{tmp_path}/", "").splitlines()


def test_everything_that_is_supported(tmp_path: Path) -> None:
    found = parse(
        tmp_path,
        """
name: all
topology:
  defaults: {kind: linux, env: {A: 1, B: default}, sysctls: {net.ipv4.ip_forward: 1}}
  kinds:
    linux: {image: kind-image, cap-add: [NET_ADMIN], exec: [kind line], binds: ["a:/x", "b:/y"]}
  groups:
    routers: {env: {B: group}, cap-add: [sys_admin]}
  nodes:
    r1:
      group: routers
      network-mode: none
      privileged: false
      entrypoint: /bin/sh -c
      cmd: "'echo hi there'"
      env: {B: node, C: "yes"}
      binds: ["c:/x:ro", "/abs:/z:rw"]
      exec: ["ip addr add 10.0.0.1/24 dev eth1"]
      cap-add: [CAP_NET_ADMIN]
      labels: {role: router}
      healthcheck: {test: [CMD, test, -e, /run/ready], interval: 1, timeout: 5, retries: 30, start-period: 30}
    h1:
  links:
    - endpoints: ["r1:eth1", "h1:eth1"]
    - type: veth
      mtu: 1500
      endpoints:
        - {node: r1, interface: eth2, mac: "00:0D:3A:00:00:01"}
        - {node: h1, interface: eth2}
""",
    )
    r1, h1 = found.nodes
    assert (r1.name, r1.image, r1.argv) == ("r1", "kind-image", ("/bin/sh", "-c", "echo hi there"))
    assert r1.env == {"A": "1", "B": "node", "C": "yes"}
    assert r1.binds == (
        Bind(tmp_path / "c", "/x", True),
        Bind(tmp_path / "b", "/y", False),
        Bind(Path("/abs"), "/z", False),
    )
    assert r1.exec == (("kind", "line"), ("ip", "addr", "add", "10.0.0.1/24", "dev", "eth1"))
    assert r1.cap_add == ("NET_ADMIN", "SYS_ADMIN")
    assert r1.sysctls == {"net.ipv4.ip_forward": "1"}
    assert r1.labels == {"role": "router"}
    assert r1.privileged is False
    assert r1.healthcheck == Healthcheck(("CMD", "test", "-e", "/run/ready"), 30, 1, 5, 30)
    assert (h1.argv, h1.env["B"], h1.healthcheck, h1.privileged) == ((), "default", None, None)
    first, second = found.links
    assert first.mtu == 9500
    assert first.a.mac.startswith("aa:c1:ab:")
    assert first.a.mac != first.b.mac
    assert (second.mtu, second.a.mac) == (1500, "00:0d:3a:00:00:01")
    assert parse(tmp_path, (tmp_path / "x.clab.yml").read_text()) == found, "MACs are the same every time"


NODE_KEYS = (
    "kind, group, image, binds, env, exec, sysctls, cap-add, cmd, entrypoint, healthcheck, labels, network-mode, "
    "privileged, restart-policy"
)


def test_every_mistake_is_reported_at_once_with_its_line(tmp_path: Path) -> None:
    assert mistakes(
        tmp_path,
        """name: bad
prefix: x
mgmt:
  network: none
topology:
  nodes:
    r1:
      kind: nokia_srlinux
      image: x
      startup-config: x.cfg
    r2:
      kind: linux
      image: x
      network-mode: bridge
      privileged: true
      stages: {}
      binds: [onlyone, "a:/b:z"]
      healthcheck: {test: true}
    bad_name:
      kind: linux
      image: x
    r3:
      image: y
  links:
    - endpoints: ["r1:eth1", "r9:eth1"]
    - endpoints: ["r1:eth1", "r2:waytoolonginterface"]
    - type: macvlan
      endpoint: {node: r1, interface: eth2}
""",
    ) == [
        (
            "x.clab.yml:2: key `prefix` of a topology file is not supported by the sandbox. "
            "Supported: name, mgmt, topology."
        ),
        "x.clab.yml:4: key `network` of `mgmt` is not supported by the sandbox. Supported: skip-when-unused.",
        "x.clab.yml:8: kind `nokia_srlinux` is not supported by the sandbox. Supported: `linux`.",
        f"x.clab.yml:10: key `startup-config` of node r1 is not supported by the sandbox. Supported: {NODE_KEYS}.",
        "x.clab.yml:14: network-mode `bridge` is not supported by the sandbox. Supported: `none`.",
        "x.clab.yml:15: `privileged` must be false in the sandbox; name what is needed in `cap-add`.",
        f"x.clab.yml:16: key `stages` of node r2 is not supported by the sandbox. Supported: {NODE_KEYS}.",
        "x.clab.yml:17: bind 'onlyone': write source:/absolute/target or source:/absolute/target:ro.",
        "x.clab.yml:17: bind option `z` is not supported by the sandbox. Supported: ro, rw.",
        "x.clab.yml:18: healthcheck `test` must be a list that begins with CMD or CMD-SHELL.",
        "x.clab.yml:18: test must be a list.",
        "x.clab.yml:19: node name 'bad_name' is not a host name: use letters, digits and hyphens.",
        "x.clab.yml:22: node r3: key `kind` is missing. Write `kind: linux`.",
        "x.clab.yml:25: link endpoint r9:eth1: there is no node 'r9'.",
        "x.clab.yml:26: 'waytoolonginterface' can't be an interface's name (1 to 15 characters, not lo).",
        "x.clab.yml:26: r1:eth1 is an end of another link already, line 25.",
        "x.clab.yml:27: link type `macvlan` is not supported by the sandbox. Supported: `veth`.",
        "x.clab.yml:28: key `endpoint` of a link is not supported by the sandbox. Supported: type, endpoints, mtu.",
    ]


LINKS = """
name: x
topology:
  nodes: {a: {kind: linux, image: i}}
  links:
    - {endpoints: ["a:e1", "a:e1"]}
    - {endpoints: ["a:e2"]}
    - {endpoints: ["a:e3", "a:e4"], mtu: 9}
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "x.clab.yml:1: the file is empty."),
        ("a: [", "x.clab.yml:2: this is not YAML: did not find expected node content."),
        ("- 1", "x.clab.yml:1: a topology file must be a mapping (`key: value` lines)."),
        ("name: x\nname: y\ntopology: {nodes: {}}", "x.clab.yml:2: key `name` is there twice."),
        ("topology: {nodes: {}}", "x.clab.yml:1: key `name` is missing."),
        ("name: a/b\ntopology: {nodes: {}}", "x.clab.yml:1: lab name 'a/b': use letters"),
        ("name: x\ntopology: {}", "x.clab.yml:2: key `nodes` is missing."),
        (
            "name: x\ntopology: {nodes: {a: {kind: linux, image: i, exec: ['echo __clabNodeName__']}}}",
            "x.clab.yml:2: a command: variables (echo __clabNodeName__) are not supported",
        ),
        (
            'name: x\ntopology: {nodes: {a: {kind: linux, image: i, cmd: "\'x"}}}',
            'x.clab.yml:2: command "\'x": No closing quotation.',
        ),
        (
            LINKS,
            """x.clab.yml:6: a:e1 is an end of another link already, line 6.
x.clab.yml:7: a link must have exactly two endpoints.
x.clab.yml:8: mtu 9 is not between 68 and 65535.""",
        ),
    ],
)
def test_the_text_for(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in "\n".join(mistakes(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="No such file"):
        read(tmp_path / "none.clab.yml")


def test_aliases_and_merge_keys(tmp_path: Path) -> None:
    found = parse(
        tmp_path,
        """
name: x
topology:
  nodes:
    a: &node
      kind: linux
      image: one
    b:
      <<: *node
      image: two
""",
    )
    assert [node.image for node in found.nodes] == ["one", "two"]


@pytest.mark.parametrize(
    ("mgmt", "own", "management"),
    [
        ("mgmt: {skip-when-unused: true}", "network-mode: none", False),
        ("mgmt: {skip-when-unused: true}", "image: x", True),
        ("mgmt: {skip-when-unused: false}", "network-mode: none", True),
        ("", "network-mode: none", True),
    ],
)
def test_whether_containerlab_makes_a_management_network(tmp_path: Path, mgmt: str, own: str, management: bool) -> None:
    """By containerlab 0.79 itself: it makes one unless no node is in it and it is asked to look."""
    text = (
        f"name: m\n{mgmt}\ntopology:\n  defaults: {{kind: linux, image: x}}\n  nodes:\n    a: {{network-mode: none}}\n"
    )
    assert parse(tmp_path, f"{text}    b: {{{own}}}\n").management == management
