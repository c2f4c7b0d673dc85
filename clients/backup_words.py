"""What `recado backup` and `recado restore` say."""

from recado.texts import Text

BACKUP_WORDS: dict[str, Text] = {
    "backup.none": Text(
        "nenhum nó em {data}; diga NODE, --dir ou --config",
        "no node under {data}; give NODE, --dir or --config",
    ),
    "backup.progress": Text("copiados {done} de {all} MiB", "copied {done} of {all} MiB"),
    "backup.done": Text(
        "{path}: {node}, {entries} entradas, {size} bytes, conferido",
        "{path}: {node}, {entries} entries, {size} bytes, checked",
    ),
    "backup.keys": Text(
        "há chaves secretas dentro: quem tem este arquivo é {node}",
        "secret keys are inside: whoever has this file is {node}",
    ),
    "backup.keys_config": Text("--with-keys precisa de --config", "--with-keys needs --config"),
    "backup.pipe_json": Text("--json e -o - não combinam", "--json and -o - don't go together"),
    "backup.keep_directory": Text(
        "--keep precisa de -o com um diretório que existe", "--keep needs -o with a directory that is there"
    ),
    "backup.deleted": Text(
        "{count} mais antigos apagados, ficam {keep}", "{count} older ones deleted, {keep} are left"
    ),
    "backup.exists": Text("{path} já existe", "{path} exists already"),
    "backup.sound": Text("{path}: conferido, {entries} entradas", "{path}: sound, {entries} entries"),
    "backup.signed": Text(
        "assinaturas: {good} boas, {unsigned} entradas sem",
        "signatures: {good} good, {unsigned} entries without",
    ),
    "backup.unsigned": Text(
        "assinaturas não conferidas; com --roster sim", "signatures not checked; with --roster they are"
    ),
    "diff.done": Text("{equal} de {origins} registros iguais", "{equal} of {origins} logs are equal"),
    "diff.silent": Text("não respondeu a tempo", "no answer in time"),
    "diff.older": Text(
        "o servidor é de uma versão que não conta seus registros",
        "the server is of a version that does not tell its logs",
    ),
    "restore.done": Text(
        "{path}: {node}, {entries} entradas de {made}; agora inicie o servidor",
        "{path}: {node}, {entries} entries of {made}; now start the server",
    ),
    "restore.aside": Text("o arquivo que estava lá: {path}", "the file that was there: {path}"),
    "restore.left": Text(
        "também há configuração ou chaves no backup; --settings DIR as escreve",
        "settings or keys are in the backup too; --settings DIR writes them",
    ),
}
