"""``python -m iart.options`` prints the options reference."""

from iart.options.reference import reference

if __name__ == '__main__':
    print(reference(), end='')
