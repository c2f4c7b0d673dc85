"""What `recado init`, `recado config` and `recado systemd` say."""

import os

from clients.words import WORDS, Spoken
from recado.texts import Text, Texts, language

SETUP_WORDS: dict[str, Text] = {
    "init.cluster": Text("Nome do cluster", "The cluster's name"),
    "init.nodes": Text(
        "Os nós, NOME=ENDEREÇO, um por linha, começando por este; linha vazia termina.\n"
        "(com NOME=ENDEREÇO:PORTA o servidor não usa a porta 5555)",
        "The nodes, NAME=ADDRESS, one a line, this one first; an empty line ends.\n"
        "(with NAME=ADDRESS:PORT the server does not use port 5555)",
    ),
    "init.node": Text("Nó {number}", "Node {number}"),
    "init.summary": Text(
        "{cluster}: {nodes}. Este é {node}; referência em {reference}, broker em {brokers}.",
        "{cluster}: {nodes}. This is {node}; reference on {reference}, broker on {brokers}.",
    ),
    "init.go": Text("Escrever isso?", "Write this?"),
    "init.start_now": Text("Iniciar agora, e a cada boot?", "Start now, and at each boot?"),
    "init.not_written": Text("nada foi escrito", "nothing was written"),
    "init.need_nodes": Text(
        "diga os nós, este primeiro: recado init --cluster NOME n1=10.77.0.11 n2=10.77.0.12 n3=10.77.0.13, "
        "ou --from ARQUIVO com o que o primeiro nó fez",
        "name the nodes, this one first: recado init --cluster NAME n1=10.77.0.11 n2=10.77.0.12 "
        "n3=10.77.0.13, or --from FILE with what the first node made",
    ),
    "init.no_node": Text("{node} não é nenhum dos nós ({nodes})", "{node} is none of the nodes ({nodes})"),
    "init.unwritable": Text(
        "{path} não pode ser escrito; como root: sudo recado init …",
        "{path} can't be written; as root: sudo recado init …",
    ),
    "init.unresolved": Text(
        "{host} não se resolve ({why}); diga um endereço, ou ponha o nome em /etc/hosts",
        "{host} can't be looked up ({why}); give an address, or put the name into /etc/hosts",
    ),
    "init.other_node": Text(
        "{host} ({node}) não é deste host, mas o endereço de {other} é: acrescente --node {other}",
        "{host} ({node}) is no address of this host, but {other}'s is: add --node {other}",
    ),
    "init.not_ours": Text(
        "{host} ({node}) não é endereço deste host, que tem {ours}; rode no host de {node}, "
        "ou corrija (`ip -br address` mostra os endereços)",
        "{host} ({node}) is no address of this host, which has {ours}; run this on {node}'s host, or correct "
        "it (`ip -br address` shows the addresses)",
    ),
    "init.loopback_name": Text(
        "{host} é aqui {address}, que nos outros hosts é outro; diga o endereço em lugar do nome",
        "{host} is {address} here, which is somebody else on other hosts; give the address, not the name",
    ),
    "init.port": Text(
        "{address} está em uso; quem é: ss -ltnp 'sport = :{port}'. "
        "Se for o Recado: systemctl stop 'recado-*' recado.target; senão, NOME=ENDEREÇO:PORTA",
        "{address} is in use; by whom: ss -ltnp 'sport = :{port}'. "
        "If it is Recado: systemctl stop 'recado-*' recado.target; else NAME=ADDRESS:PORT",
    ),
    "init.clock": Text(
        "o relógio deste host não pode estar certo ({now}): timedatectl set-ntp true",
        "this host's clock can't be right ({now}): timedatectl set-ntp true",
    ),
    "init.clock_behind": Text(
        "o relógio deste host está {seconds} s atrás do do primeiro nó: timedatectl set-ntp true",
        "this host's clock is {seconds} s behind the first node's: timedatectl set-ntp true",
    ),
    "init.clock_alone": Text(
        "ninguém acerta o relógio deste host: apt install systemd-timesyncd, ou timedatectl set-ntp true",
        "nothing keeps this host's clock right: apt install systemd-timesyncd, or timedatectl set-ntp true",
    ),
    "init.room": Text(
        "só {free} MiB livres em {path}, o mínimo é {least}: df -h {path}",
        "only {free} MiB free in {path}, the least is {least}: df -h {path}",
    ),
    "init.no_units": Text(
        "não há units do systemd: depois de instalar com pip, `recado systemd install` as escreve",
        "there are no systemd units: after an installation with pip `recado systemd install` writes them",
    ),
    "init.exists": Text(
        "já existe, e diz outra coisa: {paths}. Nada foi escrito. Para mudar o cluster: recado init --add, "
        "recado member; para ver: recado config show --origin; "
        "para começar de novo (o antigo fica em .old): --force",
        "exists, and says something else: {paths}. Nothing was written. To change the cluster: "
        "recado init --add, recado member; to look: recado config show --origin; "
        "to begin anew (the old files stay as .old): --force",
    ),
    "init.nothing": Text(
        "{node} de {cluster} já está assim; nada mudou",
        "{node} of {cluster} is so already; nothing was changed",
    ),
    "init.done": Text(
        "{node} de {cluster}: {count} arquivos escritos, {kept} já estavam assim",
        "{node} of {cluster}: {count} files written, {kept} were so already",
    ),
    "init.old": Text("guardados: {paths}", "kept: {paths}"),
    "init.bundles": Text(
        "{paths}: cada um contém as chaves secretas do seu nó (0600). Quem o tem é esse nó: leve-o só até "
        "lá, e apague-o aqui depois.",
        "{paths}: each holds the secret keys of its node (0600). Whoever has it is that node: bring it "
        "there and nowhere else, and delete it here afterwards.",
    ),
    "init.open": Text(
        "sem chaves: quem alcança as portas lê tudo e escreve em nome de qualquer um. Só para laboratórios.",
        "without keys: whoever reaches the ports reads everything and writes in anybody's name. "
        "For laboratories only.",
    ),
    "init.operator": Text(
        "{path}: sua chave de operador, como {name}; guarde uma cópia",
        "{path}: your operator's key, as {name}; keep a copy",
    ),
    "init.roster_of_other": Text(
        "{path} é de outro cluster e fica: use --roster {roster} para este",
        "{path} is another cluster's and stays: give --roster {roster} for this one",
    ),
    "init.next": Text("Agora:", "Now:"),
    "init.deleted": Text("{path} apagado: continha chaves", "{path} deleted: it held keys"),
    "init.bundle_open": Text(
        "{path} podia ser lido por outros neste host (modo {mode}): se mais alguém entra aqui, "
        "faça chaves novas",
        "{path} could be read by others on this host (mode {mode}): if anybody else logs in "
        "here, make new keys",
    ),
    "init.not_installed": Text(
        "não há {path}: este host ainda não é um nó; veja recado init --help",
        "there is no {path}: this host is no node yet; see recado init --help",
    ),
    "init.no_cluster_key": Text(
        "não há {path}: --add é feito no primeiro nó, ou em outro que tenha a chave do cluster e o roster",
        "there is no {path}: --add is done on the first node, or another that has the cluster's key "
        "and roster",
    ),
    "init.other_cluster": Text(
        "este host é do cluster {here}, e o arquivo é de {there}",
        "this host is of cluster {here}, and the file is of {there}",
    ),
    "init.older": Text(
        "{path} é mais novo que o arquivo, que desfaria: {names}. Nada foi escrito; faça outro no primeiro "
        "nó com recado init --add, ou, se é isso mesmo: --force",
        "{path} is newer than the file, which would undo: {names}. Nothing was written; make another one on "
        "the first node with recado init --add, or, if that is meant: --force",
    ),
    "init.added": Text(
        "{name} está na lista e no roster deste host. {bundle} contém as chaves secretas de {name}; "
        "{update} não tem segredos e é para os outros nós.",
        "{name} is in this host's list and roster. {bundle} holds the secret keys of {name}; "
        "{update} has no secrets and is for the other nodes.",
    ),
    "init.each_is_new": Text(
        "--servers-per-host é de um cluster novo; num que existe, um de cada vez: "
        "recado init --add n1-2=ENDEREÇO:PORTA",
        "--servers-per-host is of a new cluster; in one that is there, one after another: "
        "recado init --add n1-2=ADDRESS:PORT",
    ),
    "init.other_host": Text(
        "{name} é para o host de {lead} ({host}), e este é outro",
        "{name} is for the host of {lead} ({host}), and this is another one",
    ),
    "init.quorum_on_one_host": Text(
        "cuidado: um quorum ({quorum}) cabe num só host ({hosts}): o que foi confirmado pode morrer com ele. "
        "Tantos em cada host, em três hosts ou mais, prometem mais",
        "mind: a quorum ({quorum}) fits on one host ({hosts}): what was acknowledged may die with it. "
        "The same number on each, on three hosts or more, promises more",
    ),
    "init.uneven": Text(
        "com {hosts}, escritas em quorum ({quorum}) seguem sem {away} host(s) quaisquer; "
        "com o mesmo número em cada um seguiriam sem mais",
        "with {hosts}, writes at quorum ({quorum}) go on without any {away} host(s); "
        "with the same number on each they would without more",
    ),
    "init.nothing_new": Text("tudo já estava assim", "everything was so already"),
    "init.by_hand": Text(
        "a configuração deste host não é de recado init: acrescente o nó com recado keygen, recado roster e "
        "recado member, como em docs/keys.md",
        "this host's configuration is not recado init's: add the node with recado keygen, recado roster and "
        "recado member, as docs/keys.md says",
    ),
    "init.updated": Text(
        "lista de membros e roster renovados; vale a partir de um reinício",
        "list of members and roster renewed; they count from a restart on",
    ),
    "init.failed": Text(
        "{command} falhou ({why}); depois de consertar: {command}",
        "{command} failed ({why}); when that is mended: {command}",
    ),
    "init.started": Text("iniciados, também a cada boot: {units}", "started, also at each boot: {units}"),
    "init.enabled": Text("a cada boot: {units}", "at each boot: {units}"),
    "config.none": Text(
        "não há {path}; `recado init` faz um, ou diga qual",
        "there is no {path}; `recado init` makes one, or say which",
    ),
    "config.good": Text(
        "{path}: em ordem; {members} membros, chaves aqui: {keys}",
        "{path}: in order; {members} members, keys here: {keys}",
    ),
    "config.good_open": Text(
        "{path}: em ordem; {members} membros, sem chaves", "{path}: in order; {members} members, without keys"
    ),
    "config.unchecked": Text(
        "{path} não foi visto: só root o lê (sudo recado config check)",
        "{path} was not looked at: root alone reads it (sudo recado config check)",
    ),
    "systemd.no_recado": Text(
        "{python} não tem o Recado instalado: {python} -m pip install recado",
        "{python} has no Recado installed: {python} -m pip install recado",
    ),
    "systemd.no_units": Text("não há units em {path}", "there are no units in {path}"),
    "systemd.odd_path": Text(
        "{path}: um caminho com espaço, % ou aspas não serve numa unit; instale em /opt/recado",
        "{path}: a path with a space, % or quotes is of no use in a unit; install into /opt/recado",
    ),
    "systemd.hidden": Text(
        "{path} não é visto pelos daemons (ProtectHome, PrivateTmp). Instale onde eles veem:\n"
        "  python3.11 -m venv /opt/recado && /opt/recado/bin/pip install recado\n"
        "  /opt/recado/bin/recado systemd install\n"
        "com pipx: PIPX_HOME=/opt/pipx PIPX_BIN_DIR=/usr/local/bin pipx install recado; "
        "o Python também tem de estar fora (--python /usr/bin/python3.11)",
        "{path} can't be seen by the daemons (ProtectHome, PrivateTmp). Install where they can:\n"
        "  python3.11 -m venv /opt/recado && /opt/recado/bin/pip install recado\n"
        "  /opt/recado/bin/recado systemd install\n"
        "with pipx: PIPX_HOME=/opt/pipx PIPX_BIN_DIR=/usr/local/bin pipx install recado; "
        "Python must be elsewhere too (--python /usr/bin/python3.11)",
    ),
    "systemd.closed": Text(
        "{path} não é aberto a outros usuários, e os daemons rodam como recado: chmod o+rX {path}",
        "{path} is closed to other users, and the daemons run as recado: chmod o+rX {path}",
    ),
    "systemd.missing": Text(
        "não há {path}: instale o pacote inteiro (pip install recado)",
        "there is no {path}: install the whole package (pip install recado)",
    ),
    "systemd.packaged": Text(
        "o pacote Debian já trouxe as units (/usr/lib/systemd/system); --force escreve outras por cima delas",
        "the Debian package has brought units (/usr/lib/systemd/system); --force writes others above them",
    ),
    "systemd.exists": Text(
        "já existe e não é de recado systemd install: {paths}; --force substitui, e guarda o antigo em .old",
        "exists and is not recado systemd install's: {paths}; --force replaces it, and keeps the old as .old",
    ),
    "systemd.done": Text(
        "{count} arquivos escritos, {kept} já estavam assim; programas em {programs}",
        "{count} files written, {kept} were so already; programs in {programs}",
    ),
    "systemd.next": Text("Agora: recado init --help", "Now: recado init --help"),
    "systemd.running": Text(
        "ainda rodam: {units}; antes: systemctl stop 'recado-*' recado.target",
        "still running: {units}; first: systemctl stop 'recado-*' recado.target",
    ),
    "systemd.removed": Text(
        "retirados; configuração, chaves e dados ficam em /etc/recado, /etc/credstore e /var/lib/recado",
        "taken away; configuration, keys and data stay in /etc/recado, /etc/credstore and /var/lib/recado",
    ),
    "systemd.nothing": Text("não há nada a retirar", "there is nothing to take away"),
    "init.refused": Text("{path}: {why}", "{path}: {why}"),
}


def speaker() -> Texts:
    """The texts in the language of whoever runs this process."""
    return Spoken(language(os.environ), SETUP_WORDS, WORDS)
