"""How what is written without a word about it is encrypted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiering.bucket import documents

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiering.bucket.documents import Content


@dataclass(frozen=True, slots=True)
class Encryption:
    """What is written without a word about encryption is encrypted so."""

    algorithm: str
    key: str | None

    name = "encryption"
    document = documents.ENCRYPTION
    tried = True
    wished = True

    @property
    def wish(self) -> str:
        """See Rule."""
        return f"new objects are encrypted: {self.algorithm}{f' by {self.key}' if self.key else ''} (whole bucket)"

    def amended(self, found: Content) -> Content:
        """See Rule. Where a key is held by KMS, nothing is taken back to the store's own."""
        present = [rule.get("ApplyServerSideEncryptionByDefault", {}) for rule in found.get("Rules", ())]
        if any(self._is_met_by(each) for each in present):
            return found
        default = {"SSEAlgorithm": self.algorithm} | ({"KMSMasterKeyID": self.key} if self.key else {})
        return {"Rules": [{"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": self._is_kms}]}

    @property
    def _is_kms(self) -> bool:
        return self.algorithm.startswith("aws:kms")

    def _is_met_by(self, default: Mapping[str, str]) -> bool:
        algorithm = default.get("SSEAlgorithm", "")
        if not self._is_kms:
            return bool(algorithm)
        return algorithm.startswith("aws:kms") and self.key in {None, default.get("KMSMasterKeyID")}


def encryption_of(wish: str) -> Encryption:
    """Return the rule for a wish like `AES256`, `aws:kms` or `aws:kms:KEY`."""
    algorithm, _, key = wish.partition("aws:kms:")
    return Encryption(wish, None) if algorithm or key in {"", "dsse"} else Encryption("aws:kms", key)
