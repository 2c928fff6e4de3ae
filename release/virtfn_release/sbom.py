"""Write a bill of materials (CycloneDX) from what is installed in an image.

The same image gives the same bytes: the time is the image's own and the serial number comes from its digest.
"""

import json
from collections.abc import Iterable, Iterator
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.exceptions import InvalidSpdxLicenseException
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from virtfn_release.contents import OURS, Contents, Distribution, Package
from virtfn_release.licences import spdx


def bill(contents: Contents) -> str:
    """Return the bill of one image as JSON of CycloneDX 1.6, with a newline at its end."""
    image = contents.image
    name = image.name.rsplit(":", 1)[0].removeprefix("localhost/")
    versions = [each.version for each in contents.distributions if each.name == OURS]
    subject = Component(
        type=ComponentType.CONTAINER,
        name=name,
        version=versions[0],
        bom_ref=image.digest,
        purl=PackageURL("oci", name=name.rsplit("/", 1)[-1], version=image.digest),
        licenses=_licences(("Apache-2.0",)),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=image.digest.removeprefix("sha256:"))],
        properties=[Property(name="virtfn:layer", value=layer) for layer in image.layers],
    )
    distributions = [(each, _distribution(each)) for each in contents.distributions]
    packages = [(each, _package(each)) for each in contents.packages]
    parts = [component for _, component in (*distributions, *packages)]
    if not contents.python_of_debian:
        parts.append(_interpreter(contents.python))
    bom = Bom(
        components=parts,
        metadata=BomMetaData(component=subject, timestamp=image.created),
        serial_number=uuid5(NAMESPACE_URL, f"virtfn-sbom:{image.digest}"),
    )
    bom.register_dependency(subject, parts)
    for needing, needed in (*_needs(distributions), *_needs_of_packages(packages)):
        bom.register_dependency(needing, needed)
    # Through json for one thing: the library's own writer ends without a newline.
    return json.dumps(json.loads(JsonV1Dot6(bom).output_as_string()), indent=1, ensure_ascii=False) + "\n"


def _distribution(distribution: Distribution) -> Component:
    purl = PackageURL("pypi", name=distribution.name, version=distribution.version)
    sha256 = distribution.sha256
    return Component(
        type=ComponentType.LIBRARY,
        name=distribution.name,
        version=distribution.version,
        bom_ref=str(purl),
        purl=purl,
        licenses=_licences(distribution.licences),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)] if sha256 else [],
    )


def _package(package: Package) -> Component:
    """Return a package's component. It names a free-form copyright file itself: we do not guess a licence from it."""
    qualifiers = {"arch": package.architecture, "source": package.source}
    purl = PackageURL("deb", "debian", package.name, package.version, qualifiers)
    names = package.licences or (f"/usr/share/doc/{package.name}/copyright",)
    make = LicenseFactory()
    return Component(
        type=ComponentType.LIBRARY,
        name=package.name,
        version=package.version,
        bom_ref=str(purl),
        purl=purl,
        licenses=[_named(make, spdx(name)) for name in names],
        properties=[Property(name="virtfn:mentions-licence", value=name) for name in package.mentions],
    )


def _interpreter(version: str) -> Component:
    purl = PackageURL("generic", name="python", version=version)
    return Component(
        type=ComponentType.PLATFORM,
        name="python",
        version=version,
        bom_ref=str(purl),
        purl=purl,
        licenses=_licences(("PSF-2.0",)),
    )


def _needs(parts: list[tuple[Distribution, Component]]) -> Iterator[tuple[Component, list[Component]]]:
    by_name = {distribution.name: component for distribution, component in parts}
    for distribution, component in parts:
        yield component, [by_name[name] for name in distribution.requires if name in by_name]


def _needs_of_packages(parts: list[tuple[Package, Component]]) -> Iterator[tuple[Component, list[Component]]]:
    """Yield each package with the installed packages that it needs; a virtual package stands for its providers."""
    providers: dict[str, list[Component]] = {}
    for package, component in parts:
        for name in {package.name, *package.provides}:
            providers.setdefault(name, []).append(component)
    for package, component in parts:
        needed = {id(each): each for name in package.requires for each in providers.get(name, [])}
        yield component, [each for each in needed.values() if each is not component]


def _licences(names: Iterable[str]) -> list[License]:
    """Return one valid expression alone, as the schema asks, or else each licence by SPDX identifier or own name."""
    wanted = list(dict.fromkeys(spdx(name) for name in names))
    make = LicenseFactory()
    if len(wanted) == 1:
        return [make.make_from_string(wanted[0])]
    return [_named(make, name) for name in wanted]


def _named(make: LicenseFactory, name: str) -> DisjunctiveLicense:
    try:
        return make.make_with_id(name)
    except InvalidSpdxLicenseException:
        return make.make_with_name(name)
