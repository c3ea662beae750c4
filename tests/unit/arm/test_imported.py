"""Files with resources become lab files."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.arm.files import files_of
from labkit.arm.imported import imported
from labkit.arm.intake import BEYOND, take_in
from labkit.arm.resource import Json
from labkit.arm.script import Shell, script
from labkit.arm.write.bag import bag_of
from labkit.errors import InvalidInput
from labkit.lab.load import load_text, read
from labkit.lab.model import Lab

TOPOLOGIES = Path(__file__).parents[3] / "topologies"
NETWORK = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network"


def exported(lab: str) -> dict[str, str]:
    loaded = read(TOPOLOGIES / lab / "lab.yml")
    return files_of(loaded, loaded.lab.azure)


def lab_of(files: dict[str, str], name: str = "prod") -> Lab:
    given_files = [(n, text) for n, text in files.items() if not n.endswith(".lab.yml")]
    return load_text(imported(given_files, name, "prod/").text, "prod.lab.yml")


@pytest.mark.parametrize("lab", ["overview", "dual-homed", "expressroute-vpn", "dual-homed-expressroute", "two-armed"])
def test_an_export_imported_and_exported_is_itself(lab: str) -> None:
    first = exported(lab)
    again = lab_of(first)
    assert again.azure == load_text(first[f"{lab}.lab.yml"], "x.yml").azure
    assert bag_of(again.azure, lab) == bag_of(read(TOPOLOGIES / lab / "lab.yml").lab.azure, lab)


@pytest.mark.parametrize("lab", ["overview", "dual-homed", "expressroute", "dual-homed-expressroute", "two-armed"])
def test_without_what_azure_does_not_know_the_network_is_still_a_lab(lab: str) -> None:
    files = {name: text for name, text in exported(lab).items() if name != BEYOND}
    given_files = [(n, text) for n, text in files.items() if not n.endswith(".lab.yml")]
    found = imported(given_files, "prod", "prod/")
    azure, before = load_text(found.text, "prod.lab.yml").azure, read(TOPOLOGIES / lab / "lab.yml").lab.azure
    assert azure.virtual_networks == before.virtual_networks
    assert azure.peerings == before.peerings
    assert [s.instances for s in azure.route_servers] == [s.instances for s in before.route_servers]
    peers = [[(p.name, p.asn, p.address) for p in s.peers] for s in before.route_servers]
    assert [[(p.name, p.asn, p.address) for p in s.peers] for s in azure.route_servers] == peers
    assert found.text.count("Placeholder") == len({p for listed in peers for p in listed})


def test_what_is_not_in_a_lab_is_listed_with_its_effect() -> None:
    security = {"id": f"{NETWORK}/networkSecurityGroups/nsg1", "securityRules": []}
    public = {"id": f"{NETWORK}/natGateways/nat1", "name": "nat1", "secret": "do-not-write"}
    network = {"id": f"{NETWORK}/virtualNetworks/hub", "addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}}
    found = imported([("a.json", json.dumps([security, public, network]))], "prod", "a.json")
    assert [each.what.rpartition("/")[2] for each in found.left_out] == ["nat1", "nsg1"]
    assert "Packets that it drops in Azure arrive" in found.text
    assert "do-not-write" not in found.text
    assert load_text(found.text, "x.yml").azure.virtual_networks[0].name == "hub"


def test_peerings_that_are_not_connected_are_left_out() -> None:
    def network(name: str, space: str, **peering: Json) -> Json:
        remote: Json = "spoke" if name == "hub" else "hub"
        side: dict[str, Json] = {
            "name": "p",
            "remoteVirtualNetwork": {"id": f"{NETWORK}/virtualNetworks/{remote}"},
            **peering,
        }
        return {
            "id": f"{NETWORK}/virtualNetworks/{name}",
            "addressSpace": {"addressPrefixes": [space]},
            "virtualNetworkPeerings": [side],
        }

    hub, spoke = network("hub", "10.1.0.0/16"), network("spoke", "10.2.0.0/16")
    both = imported([("a.json", json.dumps([hub, spoke]))], "prod", "a.json")
    assert "allow_forwarded_traffic: false" in both.text
    half = imported(
        [("a.json", json.dumps([hub, network("spoke", "10.2.0.0/16", peeringState="Initiated")]))], "p", "a"
    )
    assert "peerings:" not in half.text
    assert len(half.left_out) == 2


def test_a_snapshot_of_bicep_is_taken_in() -> None:
    body = {
        "predictedResources": [
            {
                "id": "[format('{0}/hub', subscription().id)]",
                "type": "Microsoft.Network/virtualNetworks",
                "name": "hub",
                "properties": {"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}},
            },
            {
                "type": "Microsoft.Network/virtualNetworks/subnets",
                "name": "hub/app",
                "properties": {"addressPrefix": "10.1.1.0/24"},
            },
        ]
    }
    found = load_text(imported([("main.snapshot.json", json.dumps(body))], "prod", "x").text, "x.yml").azure
    assert [(s.name, str(s.prefix)) for s in found.virtual_networks[0].subnets] == [("app", "10.1.1.0/24")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 100_000,
        "NaN",
        "1",
        '"a"',
        "[1]",
        "{}",
        '{"id": 1}',
        '{"value": [null]}',
        "[1e999]",
        "9" * 5000,
    ],
)
def test_bad_files_are_refused_by_their_name(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"bad\.json"):
        take_in([("bad.json", text)])


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("tf.json", '{"format_version": "1.0", "values": {"root_module": {}}}', "this is of Terraform"),
        ("plan.json", '{"format_version": "1.2", "planned_values": {}}', "this is of Terraform"),
        ("t.json", '{"$schema": "x", "resources": []}', "this is a template"),
        ("lab.yml", "name: x\nvirtual_networks: {v: {address_space: 10.0.0.0/16}}\n", "this is a lab file already"),
    ],
)
def test_what_is_not_read_is_called_by_its_name(name: str, text: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=rf"{name}: {words}"):
        take_in([(name, text)])


VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=9), st.lists, max_leaves=4)


@given(st.data())
def test_wrong_types_anywhere_are_refused_with_their_place(data: st.DataObject) -> None:
    files = exported("overview")
    name = data.draw(st.sampled_from(sorted(n for n in files if n.endswith(".json"))))
    body = json.loads(files[name])
    node: Json = body
    while isinstance(node, (list, dict)) and node:
        steps: list[int | str] = list(range(len(node))) if isinstance(node, list) else sorted(node)
        step = data.draw(st.sampled_from(steps))
        inner = node[step]  # type: ignore[index]
        if not isinstance(inner, (list, dict)) or not inner or data.draw(st.booleans()):
            node[step] = data.draw(VALUES)  # type: ignore[index]
            break
        node = inner
    files[name] = json.dumps(body)
    try:
        found = imported([(n, text) for n, text in files.items() if n.endswith(".json")], "prod", "x")
    except InvalidInput as error:
        assert error.message  # noqa: PT017
    else:
        assert found.text.startswith("# Imported")


STUB = """#!/bin/bash
case "$*" in
  *"group list"*) echo rg;;
  *"routeserver list"*tsv*) printf 'rg\\trs1\\n';;
  *list-learned-routes*) echo '{"RouteServiceRole_IN_0": [], "value": null}';;
  *"peering list"*tsv*) printf 'sdwan-nva\\n';;
  *"peering list"*) cat "$FILES/bgpConnections.json";;
  *"routeserver list"*) cat "$FILES/virtualHubs.json";;
  *"vnet list"*) cat "$FILES/virtualNetworks.json";;
  *"route-table list"*) cat "$FILES/routeTables.json";;
  *"nic list"*) cat "$FILES/networkInterfaces.json";;
  *"vm list"*) cat "$FILES/virtualMachines.json";;
  *) echo "[]";;
esac
"""


def test_the_bash_script_collects_what_import_needs(tmp_path: Path) -> None:
    files, bin_, out = tmp_path / "files", tmp_path / "bin", tmp_path / "out"
    for folder in (files, bin_, out):
        folder.mkdir()
    for name, text in exported("overview").items():
        (files / name).write_text(text)
    (bin_ / "az").write_text(STUB)
    (bin_ / "az").chmod(0o755)
    env = {"PATH": f"{bin_}:{os.environ['PATH']}", "FILES": str(files)}
    subprocess.run(["bash", "-c", script(Shell.BASH)], cwd=out, env=env, check=True)
    collected = [(path.name, path.read_text()) for path in sorted(out.glob("*.json"))]
    azure = load_text(imported(collected, "prod", "prod/").text, "prod.lab.yml").azure
    before = read(TOPOLOGIES / "overview" / "lab.yml").lab.azure
    assert azure.virtual_networks == before.virtual_networks
    assert azure.route_servers[0].peers == before.route_servers[0].peers


def test_the_powershell_script_has_the_same_commands() -> None:
    found = [
        {line.partition("az ")[2].partition(" -o json")[0] for line in script(shell).splitlines() if " -o json" in line}
        for shell in Shell
    ]
    in_bash = {
        text.replace('"$group"', "$group").replace('"$server"', "$name").replace('"$peer"', "$peer")
        for text in found[0]
    }
    assert in_bash == found[1] - {"network routeserver list"} | {"network routeserver list"}


def test_two_hundred_virtual_networks_are_taken_in() -> None:
    def network(number: int) -> Json:
        peered: list[Json] = [
            {"name": f"to-{other}", "remoteVirtualNetwork": {"id": f"{NETWORK}/virtualNetworks/v{other:03}"}}
            for other in (range(1, 200) if number == 0 else [0])
        ]
        return {
            "id": f"{NETWORK}/virtualNetworks/v{number:03}",
            "addressSpace": {"addressPrefixes": [f"10.{number}.0.0/16"]},
            "subnets": [{"name": f"s{n}", "addressPrefix": f"10.{number}.{n}.0/24"} for n in range(5)],
            "virtualNetworkPeerings": peered,
        }

    found = imported([("vnets.json", json.dumps([network(n) for n in range(200)]))], "prod", "vnets.json")
    assert len(load_text(found.text, "x.yml").azure.virtual_networks) == 200


def learned(peer: str, *rows: tuple[str, str]) -> str:
    """A table of learned routes as az prints it, with what some versions put beside the roles."""
    roles: Json = {
        f"RouteServiceRole_IN_{i}": [
            {
                "localAddress": f"10.1.0.{4 + i}",
                "network": prefix,
                "nextHop": peer,
                "sourcePeer": peer,
                "origin": "EBgp",
                "asPath": path,
                "weight": 32768,
            }
            for prefix, path in rows
        ]
        for i in (0, 1)
    }
    assert isinstance(roles, dict)
    return json.dumps({**roles, "value": None})


def test_learned_routes_are_what_nvas_advertise_and_proofs() -> None:
    files = {name: text for name, text in exported("overview").items() if name.endswith(".json")}
    files["learnedRoutes.a.json"] = learned(
        "10.1.1.4", ("10.250.0.0/16", "65001-65010"), ("10.9.0.0/16", "65001-65001")
    )
    files["learnedRoutes.b.json"] = learned("10.1.2.4", ("0.0.0.0/0", "65002"), ("10.8.0.0/16", "65002-65001-65515"))
    found = imported(list(files.items()), "prod", "prod/")
    lab = load_text(found.text, "prod.lab.yml")
    advertises = {name: [str(p) for p in each.advertises] for name, each in lab.azure.appliance.items()}
    assert advertises == {"sdwan-nva": ["10.9.0.0/16"], "security-nva": ["0.0.0.0/0"]}
    assert [str(rule) for rule in lab.azure.appliance["sdwan-nva"].exports] == [
        "{prefix: 10.9.0.0/16, set: {prepend: 1}}"
    ]
    assert [(site.name, site.gateway.asn) for site in lab.sites] == [("as65010", 65010)]
    assert len(lab.proofs) == 2
    assert "Prefixes with longer AS paths are not: 1." in found.text


def test_a_wrong_row_of_learned_routes_is_refused_with_its_place() -> None:
    text = learned("10.1.1.4", ("10.9.0.0/16", "65001-x"))
    with pytest.raises(InvalidInput, match=r"bad\.json: RouteServiceRole_IN_0\[0\]: asPath must be ASNs"):
        take_in([("bad.json", text)])
