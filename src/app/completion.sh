# shellcheck shell=bash disable=SC2154
# The build writes the tables before this text:
#   _lockstep_commands  names of commands
#   _lockstep_options   lines `COMMAND --OPTION -LETTER VALUE`; `-` for a part that the option does not have
#   _lockstep_keys      lines `KEY`, and `KEY VALUE` for each value that is a word

# Adds to COMPREPLY: PREFIX and each of the words that begins with CURRENT.
_lockstep_add() { # PREFIX CURRENT WORD...
  local prefix=$1 current=$2 word
  shift 2
  for word; do
    [[ $word == "$current"* ]] && COMPREPLY+=("$prefix$word")
  done
}

# Adds the options of a command.
_lockstep_add_options() { # COMMAND CURRENT
  local command option rest
  while read -r command option rest; do
    [[ $command == "$1" ]] && _lockstep_add "" "$2" "$option"
  done <<< "$_lockstep_options"
}

# Prints the name of an option's value; fails for a flag and for an unknown option.
_lockstep_value_of() { # COMMAND OPTION
  local command option letter value
  while read -r command option letter value; do
    [[ $command == "$1" && ($option == "$2" || $letter == "$2") && $value != - ]] || continue
    printf '%s' "$value"
    return
  done <<< "$_lockstep_options"
  return 1
}

# Adds keys, or after `KEY=` the values of a key. Layers have any number in place of N.
_lockstep_add_setting() { # PREFIX CURRENT
  local key value layer=0 typed=${2%%=*} last=
  [[ $2 =~ ^model\.([0-9]+)\. ]] && layer=${BASH_REMATCH[1]}
  while read -r key value; do
    key=${key/#model.N./model.$layer.}
    if [[ $2 != *=* ]]; then
      [[ $value || $key == "$last" ]] || _lockstep_add "$1" "$2" "$key="
      last=$key
    elif [[ $key == "$typed" && $value ]]; then
      _lockstep_add "$1" "$2" "$key=$value"
    fi
  done < <(sort -u <<< "$_lockstep_keys")
  [[ $2 == *=* ]] || compopt -o nospace 2> /dev/null
}

# Adds the values of an option. Its name lists words, and in capitals what it stands for: `auto|never|FILE`.
_lockstep_add_values() { # PREFIX CURRENT NAME
  local part parts
  IFS='|' read -r -a parts <<< "$3"
  for part in "${parts[@]}"; do
    case $part in
      KEY=VALUE) _lockstep_add_setting "$1" "$2" ;;
      DIR)
        compopt -o filenames 2> /dev/null
        while read -r part; do COMPREPLY+=("$1$part"); done < <(compgen -d -- "$2")
        ;;
      *[[:upper:]]*)
        [[ $3 == *'|'* || $1 ]] || continue # readline completes names of files
        compopt -o filenames 2> /dev/null
        while read -r part; do COMPREPLY+=("$1$part"); done < <(compgen -f -- "$2")
        ;;
      *) _lockstep_add "$1" "$2" "$part" ;;
    esac
  done
}

# Joins what bash has divided at `=`, up to the cursor, into the array `words`.
_lockstep_join_words() {
  local i word joins=
  words=()
  for ((i = 0; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if [[ ($joins || $word == =*) && ${#words[@]} -gt 1 ]]; then
      words[${#words[@]} - 1]+=$word
    else
      words+=("$word")
    fi
    joins=
    [[ $word == *= && $COMP_WORDBREAKS == *=* ]] && joins=1
  done
}

_lockstep() {
  local words command current previous name i
  COMPREPLY=()
  _lockstep_join_words
  command=${words[1]-}
  current=${words[${#words[@]} - 1]}
  previous=${words[${#words[@]} - 2]}
  if [[ ${#words[@]} -le 2 ]]; then
    # shellcheck disable=SC2086
    _lockstep_add "" "$current" $_lockstep_commands --help --version
  elif [[ $current == --*=* ]]; then
    if name=$(_lockstep_value_of "$command" "${current%%=*}"); then
      _lockstep_add_values "${current%%=*}=" "${current#*=}" "$name"
    fi
  elif name=$(_lockstep_value_of "$command" "$previous"); then
    _lockstep_add_values "" "$current" "$name"
  elif [[ $current == -* ]]; then
    _lockstep_add_options "$command" "$current"
  fi
  # Readline replaces only what follows the last `=`, if bash divides words there.
  if [[ $current == *=* && $COMP_WORDBREAKS == *=* ]]; then
    for i in "${!COMPREPLY[@]}"; do
      COMPREPLY[i]=${COMPREPLY[i]#"${current%=*}="}
    done
  fi
}

complete -o bashdefault -o default -F _lockstep lockstep
