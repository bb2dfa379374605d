"""Numbers for words."""


class Numbering(dict):
    """Words to numbers, in the order in which they are first asked for."""

    def __missing__(self, word):
        number = self[word] = len(self)
        return number
