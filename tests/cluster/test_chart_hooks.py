"""The chart's hooks as Helm renders them: rights and walls of each, when they come and go, what switches them off."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from virtfn_lab.chart import Object, Objects, container, environment, powerless, render, template
from virtfn_lab.product import CHART, NAMESPACE

EVENTS = {
    "upgrade-crds": "pre-upgrade",
    "give-back": "pre-delete",
    "clean-up": "post-delete",
    "clean-nodes": "post-delete",
}
JOBS = ("upgrade-crds", "give-back", "clean-up")
SWITCHES = {"upgradeCrds": {"upgrade-crds"}, "giveBack": {"give-back"}, "cleanUp": {"clean-up", "clean-nodes"}}


@pytest.fixture(scope="module")
def objects() -> Objects:
    return render(hooks=True)


def of_hooks(objects: Objects) -> list[Object]:
    return [item for item in objects.values() if "helm.sh/hook" in (item["metadata"].get("annotations") or {})]


def pod(objects: Objects, name: str) -> Object:
    kind = "DaemonSet" if name == "clean-nodes" else "Job"
    found: Object = objects[kind, f"virtfn-{name}"]["spec"]["template"]["spec"]
    return found


def rights(objects: Objects, name: str) -> set[tuple[str, str, str]]:
    """Verb, resource, names; of the roles that are bound to this hook's account."""
    found: set[tuple[str, str, str]] = set()
    for (kind, _), item in objects.items():
        if not kind.endswith("RoleBinding") or [s["name"] for s in item["subjects"]] != [f"virtfn-{name}"]:
            continue
        assert item["subjects"][0]["namespace"] == NAMESPACE
        for rule in objects[item["roleRef"]["kind"], item["roleRef"]["name"]]["rules"]:
            names = ",".join(rule.get("resourceNames", ()))
            found |= {(verb, resource, names) for verb in rule["verbs"] for resource in rule["resources"]}
    return found


CRDS = ",".join(sorted(f"{path.stem}.virtfn.dev" for path in (CHART / "crds").iterdir()))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("upgrade-crds", {(verb, "customresourcedefinitions", CRDS) for verb in ("get", "patch", "create")}),
        (
            "give-back",
            {
                ("list", "sriovnodes", ""),
                ("patch", "sriovnodes", ""),
                ("create", "leases", ""),
                ("get", "leases", "virtfn-controller"),
                ("update", "leases", "virtfn-controller"),
            },
        ),
        (
            "clean-up",
            {
                ("list", "sriovnodes", ""),
                ("delete", "sriovnodes", ""),
                ("list", "pods", ""),
                ("get", "daemonsets", "virtfn-clean-nodes"),
                ("delete", "leases", "virtfn-controller"),
            },
        ),
        ("clean-nodes", set()),
    ],
)
def test_a_hook_has_the_rights_that_it_uses(objects: Objects, name: str, wanted: set[Any]) -> None:
    assert rights(objects, name) == wanted


def test_all_that_a_hook_needs_comes_before_it_and_goes_with_it(objects: Objects) -> None:
    found = of_hooks(objects)
    assert {item["metadata"]["labels"]["app.kubernetes.io/component"] for item in found} == set(EVENTS)
    for item in found:
        notes = item["metadata"]["annotations"]
        component = item["metadata"]["labels"]["app.kubernetes.io/component"]
        assert notes["helm.sh/hook"] == EVENTS[component]
        assert notes["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
        weight = int(notes["helm.sh/hook-weight"])
        assert weight < 0 or item["kind"] == "Job"
        if item["kind"].endswith("RoleBinding") or item["kind"] == "DaemonSet":
            assert weight > -20, "after the account and the role"


@pytest.mark.parametrize("name", EVENTS)
def test_a_hooks_pod_is_walled_in_as_the_others(objects: Objects, name: str) -> None:
    spec = pod(objects, name)
    assert spec["serviceAccountName"] == f"virtfn-{name}"
    assert spec["automountServiceAccountToken"] is False
    assert {"operator": "Exists"} in spec["tolerations"], "on a node with any taint"
    assert all(map(powerless, (*spec["containers"], *spec.get("initContainers", ()))))
    token = [volume for volume in spec["volumes"] if volume["name"] == "token"]
    assert bool(token) is (name in JOBS)
    if name in JOBS:
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert not [volume for volume in spec["volumes"] if "hostPath" in volume]
    egress = objects["NetworkPolicy", f"virtfn-{name}"]["spec"]["egress"]
    assert bool(egress) is (name in JOBS)


@pytest.mark.parametrize("name", JOBS)
def test_a_job_ends_before_helms_own_time_limit(objects: Objects, name: str) -> None:
    job = objects["Job", f"virtfn-{name}"]["spec"]
    spec = container(pod(objects, name), "hook")
    assert spec["args"] == [name, "--log-level=info", "--log-format=text"]
    assert environment(spec)["POD_NAMESPACE"] == "metadata.namespace"
    seconds = int(environment(spec).get("VIRTFN_HOOK_TIMEOUT", 0))
    assert seconds + 100 <= 300, "with the default of helm --timeout"
    assert job["activeDeadlineSeconds"] > seconds + 120


def test_the_crds_of_the_hook_are_those_of_the_chart(objects: Objects) -> None:
    data = objects["ConfigMap", "virtfn-upgrade-crds"]["data"]
    assert data == {path.name: path.read_text() for path in (CHART / "crds").iterdir()}
    assert sorted(yaml.safe_load(text)["metadata"]["name"] for text in data.values()) == CRDS.split(",")


@pytest.mark.parametrize("switch", SWITCHES)
def test_each_hook_can_be_switched_off(switch: str) -> None:
    left = of_hooks(render(f"hooks.{switch}.enabled=false", hooks=True))
    components = {item["metadata"]["labels"]["app.kubernetes.io/component"] for item in left}
    assert components == set(EVENTS) - SWITCHES[switch]


def test_an_installation_has_none_of_them() -> None:
    assert not of_hooks(render())


def test_without_hooks_none_of_their_objects_is_there() -> None:
    off = render(*(f"hooks.{switch}.enabled=false" for switch in SWITCHES), hooks=True)
    assert not of_hooks(off)
    assert not [name for _, name in off if name.removeprefix("virtfn-") in EVENTS]


def test_what_give_back_writes_is_limited_by_content(objects: Objects) -> None:
    policy = objects["ValidatingAdmissionPolicy", "virtfn-give-back"]["spec"]
    assert objects["ValidatingAdmissionPolicyBinding", "virtfn-give-back"]["spec"]["validationActions"] == ["Deny"]
    (condition,) = policy["matchConditions"]
    assert f"'system:serviceaccount:{NAMESPACE}:virtfn-give-back'" in condition["expression"]
    assert ("ValidatingAdmissionPolicy", "virtfn-give-back") not in render("admissionPolicy.enabled=false")


def test_on_openshift_each_account_has_its_constraints() -> None:
    found = render("securityContextConstraints.create=true", "bootUnit.enabled=true", hooks=True)
    for name in EVENTS:
        constraints = found["SecurityContextConstraints", f"virtfn-{name}"]
        assert constraints["users"] == [f"system:serviceaccount:{NAMESPACE}:virtfn-{name}"]
        assert constraints["allowPrivilegedContainer"] is False
        assert constraints["allowHostDirVolumePlugin"] is (name == "clean-nodes")
        kind = "DaemonSet" if name == "clean-nodes" else "Job"
        notes = found[kind, f"virtfn-{name}"]["spec"]["template"]["metadata"]["annotations"]
        assert notes["openshift.io/required-scc"] == f"virtfn-{name}"
        kinds = {next(key for key in volume if key != "name") for volume in pod(found, name).get("volumes", ())}
        assert kinds <= set(constraints["volumes"])


def test_the_boot_unit_is_removed_where_it_was_installed(objects: Objects) -> None:
    def mounted(found: Objects) -> set[str]:
        return {mount["mountPath"] for mount in pod(found, "clean-nodes")["containers"][0]["volumeMounts"]}

    unit = {"/host/etc/systemd/system", "/host/var/lib/virtfn-boot"}
    assert not unit & mounted(objects)
    assert unit <= mounted(render("bootUnit.enabled=true", hooks=True))


@pytest.mark.parametrize(
    "wrong",
    ["hooks.giveBack.timeoutSeconds=0", "hooks.cleanUp.timeoutSeconds=3001", "hooks.upgradeCrds.timeoutSeconds=1"],
)
def test_a_wrong_value_is_refused_with_its_name(wrong: str) -> None:
    done = template("image.registry=x", wrong)
    assert done.returncode != 0
    assert wrong.split(".")[1] in done.stderr
