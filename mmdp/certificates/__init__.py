"""Proofs of upper bounds that can be kept in a file and checked by anybody, with numpy alone."""

from mmdp.certificates.angle import AngleCertificate
from mmdp.certificates.certificate import Certificate, CertificateError
from mmdp.certificates.colouring import ColouringCertificate
from mmdp.certificates.ddfact import DDFactCertificate
from mmdp.certificates.file import KINDS, Claim, load, save
from mmdp.certificates.plain import (
    HadamardCertificate,
    OnlyChoiceCertificate,
    RowSumCertificate,
    SimplexCertificate,
    SpectralCertificate,
)
from mmdp.certificates.prove import Effort, best_certificate
from mmdp.certificates.qp import QPCertificate
from mmdp.certificates.theta import ThetaCertificate

__all__ = [
    "KINDS",
    "AngleCertificate",
    "Certificate",
    "CertificateError",
    "Claim",
    "ColouringCertificate",
    "DDFactCertificate",
    "Effort",
    "HadamardCertificate",
    "OnlyChoiceCertificate",
    "QPCertificate",
    "RowSumCertificate",
    "SimplexCertificate",
    "SpectralCertificate",
    "ThetaCertificate",
    "best_certificate",
    "load",
    "save",
]
