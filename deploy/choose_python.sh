#!/bin/sh
# Which Python makes the environment? `sh deploy/choose_python.sh .venv [PYTHON]`, run by `make setup`, prints it, and
# nothing where the environment that is there is the right one.
#
# A PYTHON that is given is taken or refused. Otherwise an environment that is there stays, and a new one gets the newest
# Python that the lock is made for. One counts only if it runs (a shim of pyenv may not) and can make environments
# (Debian and Ubuntu have that part in a package of its own).

SUPPORTED='3.13 3.12 3.11'
NEEDS='effrl needs Python 3.11, 3.12 or 3.13 (its lock is made for these)'
environment=$1 given=$2

refuse() {
  echo "$1" >&2
  exit 1
}

version() {
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

is_supported() {
  case " $SUPPORTED " in *" $(version "$1") "*) true ;; *) false ;; esac
}

makes_environments() {
  "$1" -c 'import ensurepip, venv' 2>/dev/null
}

refuse_without_venv() {
  package=python$(version "$1")-venv
  refuse "$1 cannot make environments: apt install $package (Debian, Ubuntu), then run make again"
}

own=$environment/bin/python
[ -f "$environment/pyvenv.cfg" ] && "$own" -c 'import pip' 2>/dev/null || own=

if [ -n "$given" ]; then
  found=$(version "$given") || refuse "$NEEDS: $given does not run"
  is_supported "$given" || refuse "$NEEDS: $given is Python $found"
  if [ -n "$own" ] && [ "$(version "$own")" = "$found" ]; then exit; fi
  makes_environments "$given" || refuse_without_venv "$given"
  echo "$given"
  exit
fi

if [ -n "$own" ] && is_supported "$own"; then exit; fi
without_venv=
for number in $SUPPORTED; do
  python=python$number
  is_supported "$python" || continue
  if makes_environments "$python"; then
    echo "$python"
    exit
  fi
  without_venv=${without_venv:-$python}
done
if [ -n "$without_venv" ]; then refuse_without_venv "$without_venv"; fi
found=$(version python3) && found=" (python3 is $found)"
refuse "$NEEDS$found: install one, or say where it is: make setup PYTHON=/path/to/python3.12"
