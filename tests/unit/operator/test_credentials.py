"""Token and CA as the kubelet rotates them: seen at the next request; a file that is half written changes nothing."""

import ssl
from pathlib import Path

import pytest
from api_cases import certificate
from api_server import ApiServer

from virtfn_operator.apiserver.kube import Kube
from virtfn_operator.apiserver.kube_error import KubeError
from virtfn_operator.apiserver.session import Credentials
from virtfn_operator.settings import ApiServer as Where

PATH = "/api/v1/nodes/n1"


def where(folder: Path, *, port: int = 1) -> Where:
    return Where(url=f"https://127.0.0.1:{port}", token=folder / "token", ca=folder / "ca.crt")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    certificate(tmp_path, "one")
    certificate(tmp_path, "two")
    (tmp_path / "token").write_text("t1\n")
    (tmp_path / "ca.crt").write_text((tmp_path / "one.crt").read_text())
    return tmp_path


def subjects(context: ssl.SSLContext | bool) -> set[str]:
    assert isinstance(context, ssl.SSLContext)
    return {name for name in ("one", "two") if f"'{name}'" in str(context.get_ca_certs())}


HALF = b"-----BEGIN CERTIFICATE-----\nMIIB"


@pytest.mark.parametrize(
    "broken", [b"", HALF, HALF + b"\xff", HALF + "é".encode(), HALF + b"\x00", b"\xff\xfe", b"text", None]
)
async def test_a_ca_that_is_half_written_or_missing_leaves_the_old_one(folder: Path, broken: bytes | None) -> None:
    credentials = Credentials(where(folder))
    _, before = await credentials.current()
    if broken is None:
        (folder / "ca.crt").unlink()
    else:
        (folder / "ca.crt").write_bytes(broken)
    assert (await credentials.current())[1] is before
    (folder / "ca.crt").write_text((folder / "two.crt").read_text())
    _, after = await credentials.current()
    assert subjects(before) == {"one"}
    assert subjects(after) == {"two"}


@pytest.mark.parametrize(
    "comment", ["# Autorité de certification\n".encode(), "# Autorité\n".encode("latin-1"), b"#\xff\n"]
)
async def test_what_stands_beside_the_certificates_may_be_in_any_language(folder: Path, comment: bytes) -> None:
    (folder / "ca.crt").write_bytes(comment + (folder / "one.crt").read_bytes())
    credentials = Credentials(where(folder))
    assert subjects((await credentials.current())[1]) == {"one"}


async def test_a_ca_is_read_again_by_content_and_made_a_context_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    credentials = Credentials(where(folder))
    contexts = {id((await credentials.current())[1]) for _ in range(5)}
    assert len(contexts) == 1
    swapped = folder / "swapped"
    swapped.write_text((folder / "one.crt").read_text() + (folder / "two.crt").read_text())
    (folder / "ca.crt").unlink()
    (folder / "ca.crt").symlink_to(swapped)
    assert not caplog.records
    assert subjects((await credentials.current())[1]) == {"one", "two"}
    assert "certificate" in caplog.text


@pytest.mark.parametrize("broken", [b"", b"\n", b"two\nlines", b"\xff", b"a\x00b", None])
async def test_a_token_that_is_no_good_leaves_the_old_one(folder: Path, broken: bytes | None) -> None:
    credentials = Credentials(where(folder))
    assert (await credentials.current())[0] == "t1"
    if broken is None:
        (folder / "token").unlink()
    else:
        (folder / "token").write_bytes(broken)
    assert (await credentials.current())[0] == "t1"
    (folder / "token").write_text("t2\n")
    assert (await credentials.current())[0] == "t2"


async def test_a_new_ca_is_trusted_by_the_session_that_is_open(folder: Path) -> None:
    api = ApiServer()
    await api.start(certificate(folder, "one"))
    (folder / "ca.crt").write_text((folder / "one.crt").read_text())
    await api.put(PATH, {"metadata": {"name": "n1"}})
    async with Kube(where(folder, port=api.port), connections=2) as kube:
        await kube.read(PATH)
        await api.stop()
        await api.start(certificate(folder, "two"))
        with pytest.raises(KubeError, match="certificate"):
            await kube.read(PATH)
        (folder / "ca.crt").write_text((folder / "two.crt").read_text())
        assert (await kube.read(PATH))["metadata"]["name"] == "n1"
    await api.stop()


async def test_a_refused_token_is_read_again_before_anything_is_given_up(folder: Path) -> None:
    api = ApiServer()
    await api.start()
    await api.put(PATH, {"metadata": {"name": "n1"}})
    api.token = "t2"
    server = Where(url=f"http://127.0.0.1:{api.port}", token=folder / "token", ca=None)

    async def replaced(request: object) -> None:
        (folder / "token").write_text("t2")

    api.fault = replaced
    async with Kube(server, connections=2) as kube:
        assert (await kube.read(PATH))["metadata"]["name"] == "n1"
        assert [seen.token for seen in api.seen] == ["Bearer t1", "Bearer t2"]
        api.fault, api.token = None, "t3"
        with pytest.raises(KubeError, match="401"):
            await kube.read(PATH)
    assert [seen.token for seen in api.seen][2:] == ["Bearer t2"]
    await api.stop()


async def test_without_any_ca_yet_there_is_an_error_and_no_end(tmp_path: Path) -> None:
    async with Kube(where(tmp_path), connections=1) as kube:
        with pytest.raises(KubeError, match="no CA certificate"):
            await kube.read(PATH)
