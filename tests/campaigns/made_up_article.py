"""A made-up text in the shape that authors hand in: title, four paragraphs, two references, who wrote it."""

TITLE = "Restless Nights"
PARAGRAPHS = (
    "Many people lie awake for hours, and nothing is wrong with their bed. The brain has learned that night is the "
    "time for thinking. Whatever we repeat, it learns. Almost like a tune. The more often it plays, the louder it is.",
    "And in this same way, a brain can learn to be calm. Sleep is a habit. Normally we lie down, and the body does the "
    "rest. In other words, sleep cannot be made, only let in. This is known as letting go.",
    "Though worry keeps us awake, this does not mean that it is useless. In fact, studies of shift workers show what "
    "tired brains can do (Ashdown, Brandt, Calloway, & Dimitriou, 2003). And what was learned can be unlearned "
    "(Velraes et al., 2015).",
    "There are many researchers looking into sleep. This month we will be posting videos and podcasts to help readers "
    "learn more about it.",
)
REFERENCES = (
    "Ashdown, P.W., Brandt, M.G., Calloway, V.A., Dimitriou, D.A. (2003). Wakeful nights and what they are good for. "
    "Nightwork 12(1), 39-52.",
    "Verlaes, J.A., Osei, M.N., Huang, L. and Pereira, A.V. (2015). Learned wakefulness: how nights turn from rest to "
    "work. Sleepers136(9), 271-288.",
)
NAME = "Marta Quillfeather"
ROLE = "Clinical Psychologist"
DEGREES = (
    "Ph.D Psychology",
    "M.Sc. Cognitive Behaviour Therapy",
    "M.Sc. Research Methods in Psychology",
    "B.Sc. Psychology (Hons.)",
)
TEXT = (
    f"{TITLE}\n\n"
    + "\n\n".join(PARAGRAPHS)
    + "\n\n\n"
    + "\n\n".join(REFERENCES)
    + f"\n\nWritten by:\n\n{NAME}\n\n{ROLE}\n\n{', '.join(DEGREES)}"
)
