"""`report`: registries of images and domains that only Helm's values name are in no text of it."""

import json

import pytest

from virtfn_kubectl.bundle.redacted import Collected, redacted

IMAGES = {
    "with a port": "registry.corp.example:5000/team-blue/host:0.2.0",
    "without a folder": "registry.corp.example/host:0.2.0",
    "with many folders": "hub.corp.example/a1/team-blue/trading/host@sha256:0123",
    "an account of a public registry": "ghcr.io/corp/host:0.2.0",
    "an account without a registry": "corp/host:0.2.0",
    "in capitals": "Registry.CORP.example/host:0.2.0",
}
SAID = (
    'Back-off pulling image "{}"',
    'Failed to pull image "{}": failed to do request: Head "https://{}/manifests/0.2.0": no such host',
    "cannot pull image {}",
)


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("place", ["a pod", "a workload", "an event", "a log", "a text"])
def test_a_registry_is_in_no_text_of_the_report(image: str, said: str, place: str) -> None:
    message = said.format(image, image)
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"image": image}]}}
    waits = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": message}}}
    condition = {"conditions": [{"type": "Available", "message": message}]}
    found = {
        "a pod": Collected(pods=[{**pod, "status": {"containerStatuses": [waits]}}]),
        "a workload": Collected(workloads=[{"status": condition}]),
        "an event": Collected(events=[{"message": message}]),
        "a log": Collected(pods=[pod], logs={("p", "host"): message}),
        "a text": Collected(texts={"status.txt": message}),
    }[place]
    files = redacted(found)
    whole = "\n".join(files.values()).lower()
    assert [word for word in ("corp", "team-blue", "trading") if word in whole] == []
    assert place == "a workload" or "host" in whole


def test_a_registry_is_the_same_word_everywhere_and_a_public_one_stays() -> None:
    told = [f'Pulling image "{name}/team/host:1"' for name in ("hub.corp.example", "docker.io", "registry.k8s.io")]
    files = redacted(Collected(events=[{"message": it} for it in told], texts={"x.txt": "hub.corp.example"}))
    word = files["x.txt"]
    assert word.startswith("registry-")
    messages = [it["message"] for it in json.loads(files["events.json"])]
    assert [it.partition('"')[2].partition("/")[0] for it in messages] == [word, "docker.io", "registry.k8s.io"]


@pytest.mark.parametrize(
    "values",
    [
        {"image": {"registry": "hub.corp.example/team-blue"}},
        {"global": {"imageRegistry": "hub.corp.example:5000"}},
        {"agent": {"host": {"image": {"registry": "hub.corp.example"}}}},
    ],
)
def test_a_registry_that_only_values_name_is_in_no_log(values: dict[str, object]) -> None:
    files = redacted(Collected(values=values, logs={("p", "agent"): "lookup hub.corp.example: no such host"}))
    assert "corp" not in "".join(files.values())


@pytest.mark.parametrize("domain", ["corp.example", "gpu.corp.example", "CORP.example"])
def test_a_domain_that_values_allow_is_no_domain_of_the_report(domain: str) -> None:
    found = Collected(values={"resourceDomains": ["intel.com", domain]}, logs={("p", "agent"): f"{domain}/fast"})
    files = redacted(found)
    assert json.loads(files["values.json"])["resourceDomains"] == ["intel.com", "domain-1"]
    assert "corp" not in "".join(files.values()).lower()
