"""``python -m iart.options`` prints the options reference, ``python -m iart.options --schema`` the JSON Schema."""

import argparse

if __name__ == '__main__':
    parser = argparse.ArgumentParser(prog='python -m iart.options', description='Print the reference of the options.')
    parser.add_argument('--schema', action='store_true', help='print a JSON Schema for editors instead')
    if parser.parse_args().schema:
        from iart.options.json_schema import options_schema

        print(options_schema(), end='')
    else:
        from iart.options.reference import reference

        print(reference(), end='')
