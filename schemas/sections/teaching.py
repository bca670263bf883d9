"""Settings of `data` about a teacher: an endpoint that answers rows which have a request only."""

from __future__ import annotations

from pydantic import Field

from schemas.sections.section import Section


class Teaching(Section):
    """Who answers the rows without an answer, and what becomes of these answers."""

    teacher: str | None = Field(
        None,
        min_length=1,
        description="Endpoint, by its name in arms.endpoints, that answers the rows of source which have a request and "
        "no answer (columns or lines of text, not conversations). Its answers have to meet the same contract and are "
        "told from people's in every count; `tuneworthy label` writes them for a person to look over.",
    )
    teacher_samples: int = Field(
        1, ge=1, le=16, description="Answers that the teacher gives to each request; those after the first at random."
    )
    teacher_agreement: float = Field(
        1, gt=0, le=1, description="Share of these answers that has to agree with the first, by task.metric."
    )
    teacher_held_out: bool = Field(
        False,
        description="The teacher's answers may be held-out truth: scores then say how often an arm answers as the "
        "teacher does, not how often it is right. false: only rows with an answer of their own are held out.",
    )
