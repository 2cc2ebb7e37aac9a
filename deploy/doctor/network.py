"""Whether processes of a node may listen, and others may come in."""

from collections.abc import Iterator

from deploy.doctor.facts import ClusterSeen, NodeFacts
from deploy.doctor.finding import Finding, must, named, should

LOOPBACK = ("127.", "::1", "localhost")


def check_port(facts: NodeFacts) -> Iterator[Finding]:
    """Ray, DeepSpeed and gloo talk over ports even on one machine."""
    address = facts.address
    remedy = (
        f"allow programs to listen at {address} (a sandbox or a firewall forbids it, or it is no address of the node)"
    )
    found = facts.port_refused or f"port {facts.port} of {address}"
    yield must("listening", facts.port is not None, found, f"a port of {address}", remedy)


def check_interface(facts: NodeFacts) -> Iterator[Finding]:
    """Ranks listen at the interface of their node's address, unless a variable says otherwise."""
    wanted = facts.gloo_interface
    known = ", ".join(facts.interfaces)
    remedy = f"set GLOO_SOCKET_IFNAME to one of {known}, or unset it"
    found = wanted or "that of the node's address"
    yield must("interface", wanted is None or wanted in facts.interfaces, found, "one that is there", remedy)


def check_token_file(facts: NodeFacts) -> Iterator[Finding]:
    """Whoever has the token can run code on every node."""
    found = "readable by others" if facts.token_seen_by_others else "its owner's alone, or none"
    remedy = "chmod 600 the file of RAY_AUTH_TOKEN_PATH (~/.ray/auth_token), and make a new token if others were there"
    yield should("token file", not facts.token_seen_by_others, found, "its owner's alone", remedy)


def check_address(cluster: ClusterSeen) -> Iterator[Finding]:
    """Others must know a node by an address that leads to it."""
    if len(hosts(cluster)) < 2:
        return
    wrong = [node.member.name for node in cluster.nodes if node.member.address.startswith(LOOPBACK)]
    remedy = "start Ray with the address at which others find the node: ray start --node-ip-address"
    yield must("address", not wrong, named(wrong) or "known to others", "no loopback", remedy)


def check_reach(cluster: ClusterSeen) -> Iterator[Finding]:
    """Ranks and raylets choose their ports, so that nodes must let each other through on all of them."""
    if len(cluster.nodes) < 2:
        return
    cut = {node.member.name: named(node.unreached) for node in cluster.nodes if node.unreached}
    found = (
        "; ".join(f"{name} does not reach {others}" for name, others in cut.items()) or "every node reaches every other"
    )
    remedy = "let these nodes through to each other on all ports (firewall, security group, NetworkPolicy)"
    yield must("ports between nodes", not cut, found, "every node reaches every other", remedy)


def check_token(cluster: ClusterSeen) -> Iterator[Finding]:
    """Whether Ray asks for a token: whoever reaches a cluster without one can run code in it."""
    open_ = [node.member.name for node in cluster.nodes if node.facts.auth_mode != "token"]
    found = f"none asked for by {named(open_)}" if open_ else "asked for"
    remedy = "start Ray with RAY_AUTH_MODE=token and a token on every node, unless nobody else reaches the network"
    yield should("token", not open_, found, "asked for", remedy)


def hosts(cluster: ClusterSeen) -> dict[tuple[str, str], list[str]]:
    """The machines, or containers, of a cluster, each with the names of its nodes."""
    found: dict[tuple[str, str], list[str]] = {}
    for node in cluster.nodes:
        found.setdefault((node.facts.boot, node.facts.hostname), []).append(node.member.name)
    return found
