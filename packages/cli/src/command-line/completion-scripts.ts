// Each script asks `crowdhook complete` with the words up to the cursor. A line of its answer is a word, a space
// and a description. If there is no answer, the shell offers files.

const BASH = `# bash completion of crowdhook
_crowdhook() {
  local line word current= start= last=-1 words=()
  # Bash breaks words at colons, and replaces only what follows the last one.
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD}"; do
    if [[ $last -ge 0 && -n $word && ( $word == :* || $current == *: ) ]]; then
      current+=$word
    else
      current=$word
      last=$((last + 1))
    fi
    words[last]=$current
  done
  [[ $COMP_WORDBREAKS == *:* && $current == *:* ]] && start=\${current%"\${current##*:}"}
  COMPREPLY=()
  while IFS= read -r line; do
    line=\${line%% *}
    COMPREPLY+=("\${line#"$start"}")
  done < <(crowdhook complete -- "\${words[@]}" 2>/dev/null)
}
complete -o default -F _crowdhook crowdhook`;

const ZSH = `#compdef crowdhook
_crowdhook() {
  local line
  local -a found
  for line in "\${(@f)$(crowdhook complete -- "\${(@Q)words[2,CURRENT]}" 2>/dev/null)}"; do
    [[ -n $line ]] && found+=("\${\${line%% *}//:/\\\\:}:\${line#* }")
  done
  if (( $#found )); then
    _describe crowdhook found
  else
    _files
  fi
}
# Loaded from fpath, this file is the function itself.
if [[ "\${funcstack[1]}" == _crowdhook ]]; then
  _crowdhook "$@"
else
  compdef _crowdhook crowdhook
fi`;

const FISH = `# fish completion of crowdhook
function __crowdhook_complete
    set -l words (commandline -opc)
    set -e words[1]
    set -l current (commandline -ct)
    set -l found (crowdhook complete -- $words "$current" 2>/dev/null)
    if test (count $found) -gt 0
        string replace ' ' \\t -- $found
    else
        __fish_complete_path "$current"
    end
end
complete -c crowdhook -f -a '(__crowdhook_complete)'`;

export const SCRIPTS = { bash: BASH, zsh: ZSH, fish: FISH };
