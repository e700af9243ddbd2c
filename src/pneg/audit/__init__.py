"""What the numbers of a test or training set hide: shortcuts, unread contexts, false negatives, lack of variety."""

from pneg.audit.auditing import audit
from pneg.audit.results import Audit, SourceAudit

__all__ = ["Audit", "SourceAudit", "audit"]
