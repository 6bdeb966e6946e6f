"""The collection that the files of this folder add to."""
from collection import Collection

PROGRAMS = Collection()
case = PROGRAMS.case
