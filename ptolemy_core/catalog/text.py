"""What a database takes as text: UTF-8 without NUL. It refuses even to look for anything else."""


def is_text(value: str) -> bool:
    """Whether a database takes it. Bytes that aren't UTF-8, which stand as surrogates, are none."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in value
