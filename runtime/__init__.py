"""What a device needs: labels, preprocessing, bundles, backends and statistics.

::

    from edge_arm.runtime import open_classifier
    with open_classifier("build/bundle") as faces:
        print(faces.faces_in("photo.jpg"))
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_arm.runtime.classifier.opening import open_classifier

__all__ = ["open_classifier"]


def __getattr__(name: str) -> Any:
    # PEP 562: the package stays as light as its smallest module until somebody asks for this.
    if name == "open_classifier":
        from edge_arm.runtime.classifier.opening import open_classifier

        return open_classifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
