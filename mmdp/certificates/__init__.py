"""Proofs of upper bounds that can be kept in a file and checked by anybody, with numpy alone."""

from mmdp.certificates.certificate import Certificate, CertificateError
from mmdp.certificates.theta import ThetaCertificate

__all__ = ["Certificate", "CertificateError", "ThetaCertificate"]
