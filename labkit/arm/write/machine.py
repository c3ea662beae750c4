"""Network interfaces, and the virtual machines that have them."""

from __future__ import annotations

from collections.abc import Iterator

from labkit.arm.resource import Json, Resource
from labkit.arm.write.scope import Scope, region_of
from labkit.azure.model import Azure, Nic

NIC_OF = "__"
"""Between the names of machine and NIC in the name of a network interface; that of an only NIC is the machine's."""


def network_interface_name(nic: Nic) -> str:
    """The name of a NIC's resource: Azure's names have no slash."""
    return nic.name.replace("/", NIC_OF)


def machines(azure: Azure, scope: Scope) -> Iterator[Resource]:
    """The NICs of NVAs and virtual machines, then the machines. Those of Azure's own instances nobody sees."""
    platform = {i.node for gateway in azure.gateways for i in gateway.instance_ids}
    platform |= {i.node for firewall in azure.firewalls for i in firewall.instance_ids}
    nics = [nic for nic in azure.nics if nic.machine not in platform]
    for nic in nics:
        yield _nic(azure, nic, scope)
    for name in dict.fromkeys(nic.machine for nic in nics):
        mine = azure.nics_of(name)
        references: list[Json] = [
            {
                "id": str(scope.id("networkInterfaces", network_interface_name(nic))),
                "properties": {"primary": nic is mine[0]},
            }
            for nic in mine
        ]
        yield Resource(
            scope.virtual_machine(name),
            region_of(azure, mine[0].virtual_network),
            properties={"networkProfile": {"networkInterfaces": references}},
        )


def _nic(azure: Azure, nic: Nic, scope: Scope) -> Resource:
    name = network_interface_name(nic)
    configurations: list[Json] = [
        {
            "id": scope.part("networkInterfaces", name, "ipConfigurations", f"ipconfig{number}"),
            "name": f"ipconfig{number}",
            "properties": {
                "primary": number == 1,
                "privateIPAddress": str(address),
                "privateIPAllocationMethod": "Static",
                "subnet": scope.reference("virtualNetworks/subnets", nic.virtual_network, nic.subnet),
                **(_pools(azure, nic, scope) if number == 1 else {}),
            },
        }
        for number, address in enumerate(nic.addresses, start=1)
    ]
    return Resource(
        scope.id("networkInterfaces", name),
        region_of(azure, nic.virtual_network),
        properties={
            "enableIPForwarding": nic.ip_forwarding,
            "macAddress": nic.mac.upper().replace(":", "-"),
            "primary": azure.primary_nic(nic.machine) is nic,
            "virtualMachine": {"id": str(scope.virtual_machine(nic.machine))},
            "ipConfigurations": configurations,
        },
    )


def _pools(azure: Azure, nic: Nic, scope: Scope) -> dict[str, Json]:
    pools: list[Json] = [
        {"id": scope.part("loadBalancers", balancer.name, "backendAddressPools", "backends")}
        for balancer in azure.load_balancers
        if nic.name in balancer.backends and balancer.name not in azure.firewall
    ]
    return {"loadBalancerBackendAddressPools": pools} if pools else {}
