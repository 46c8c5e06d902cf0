# SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
# bash completion for ferry: objects and verbs from `ferry help`, addresses and names from the daemon.

_ferry() {
	local cur=${COMP_WORDS[COMP_CWORD]} words=() host=() i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-H | --host) host=(-H "${COMP_WORDS[++i]}") ;;
		-o) ((i++)) ;;
		-*) ;;
		*) words+=("${COMP_WORDS[i]}") ;;
		esac
	done
	case ${words[0]-},${#words[@]} in
	,0) COMPREPLY=($(compgen -W "$(ferry help | awk '$1 == "ferry" { print $2 }' | sort -u)" -- "$cur")) ;;
	help,1) COMPREPLY=($(compgen -W "run function namespace driver host config" -- "$cur")) ;;
	run,*) COMPREPLY=($(compgen -c -- "$cur")) ;;
	*,1) COMPREPLY=($(compgen -W "$(ferry help "${words[0]}" | awk '$1 == "ferry" { print $3 }')" -- "$cur")) ;;
	function,2 | driver,2)
		COMPREPLY=($(compgen -W "$(ferry "${host[@]}" --no-header ls 2>/dev/null | awk '{ print $1 }')" -- "$cur")) ;;
	namespace,2)
		COMPREPLY=($(compgen -W "$(ferry "${host[@]}" --no-header namespace list 2>/dev/null |
			awk '{ print $1 }')" -- "$cur")) ;;
	esac
	if [[ $cur == --* && ${#words[@]} -ge 2 ]]; then
		COMPREPLY=($(compgen -W "$(ferry help "${words[0]}" | awk '$1 ~ /^--/ { print $1 }')" -- "$cur"))
	fi
}
complete -o default -F _ferry ferry
