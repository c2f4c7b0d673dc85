"""What `recado doctor` says of each case: the evidence, and under ``.cause`` what is likely behind it."""

from recado.texts import Text

DOCTOR_WORDS: dict[str, Text] = {
    "doctor.healthy": Text("nada de errado", "nothing is wrong"),
    "doctor.looked": Text(
        "{servers} servidores, {brokers} brokers, {files} arquivos examinados",
        "{servers} servers, {brokers} brokers, {files} files examined",
    ),
    "doctor.count": Text("{count} problemas", "{count} problems"),
    "doctor.cause": Text("causa provável", "likely cause"),
    "doctor.mend": Text("conserto", "mend"),
    "doctor.unchecked": Text("não examinado: {what}", "not examined: {what}"),
    "doctor.no_key": Text(
        "o cluster em si, pois nenhuma chave serve ({why})", "the cluster itself: no key can be used ({why})"
    ),
    "doctor.credential": Text(
        "{path}: só o serviço em execução a vê", "{path}: only the running service sees it"
    ),
    "doctor.not_ours": Text("{path}: {why}", "{path}: {why}"),
    # unreachable
    "doctor.unreachable.refused": Text(
        "{address}: conexão recusada; também mudo para: {others}",
        "{address}: connection refused; silent for these too: {others}",
    ),
    "doctor.unreachable.refused.cause": Text(
        "o host responde, mas o servidor não roda ou escuta em outro endereço",
        "the host is up, but the server does not run, or listens at another address",
    ),
    "doctor.unreachable.timeout": Text(
        "{address}: nenhum pacote volta; também mudo para: {others}",
        "{address}: no packet comes back; silent for these too: {others}",
    ),
    "doctor.unreachable.timeout.cause": Text(
        "host desligado, rede cortada ou firewall que descarta",
        "the host is off, the network is cut, or a firewall drops",
    ),
    "doctor.unreachable.unknown_host": Text(
        "{address}: nome sem endereço; também mudo para: {others}",
        "{address}: no address is known for that name; silent for these too: {others}",
    ),
    "doctor.unreachable.unknown_host.cause": Text(
        "nome errado em cluster.members, ou DNS fora do ar", "a wrong name in cluster.members, or no DNS"
    ),
    "doctor.unreachable.mute": Text(
        "{address}: a conexão abre, mas nenhuma resposta vem; também mudo para: {others}",
        "{address}: the connection opens, but no answer comes; silent for these too: {others}",
    ),
    "doctor.unreachable.mute.cause": Text(
        "processo parado (SIGSTOP, disco travado), outro programa na porta, ou chaves que não conferem",
        "a stopped process (SIGSTOP, hung disk), another program at the port, or keys that don't match",
    ),
    "doctor.unreachable.unusable": Text(
        "{address}: endereço inutilizável; também mudo para: {others}",
        "{address}: the address can't be used; silent for these too: {others}",
    ),
    "doctor.unreachable.unusable.cause": Text(
        "endereço errado em cluster.members", "a wrong address in cluster.members"
    ),
    "doctor.unreachable.from_peer": Text(
        "{address}: responde daqui, mas é mudo para: {others}",
        "{address}: answers from here, but is silent for: {others}",
    ),
    "doctor.unreachable.from_peer.cause": Text(
        "a ligação entre eles está cortada (firewall, rota, cabo), ou cluster.members tem outro endereço",
        "the link between them is cut (firewall, route, cable), or cluster.members has another address",
    ),
    "doctor.unreachable.nobody": Text("nenhum servidor é conhecido", "no server is known"),
    "doctor.unreachable.nobody.cause": Text(
        "a referência não responde ou não lista ninguém; diga --server ou --config",
        "the reference does not answer, or lists nobody; give --server or --config",
    ),
    # clock
    "doctor.clock.server": Text(
        "o relógio do sistema difere {skew} s do dos outros (a hora mostrada corrige {offset} ms)",
        "its system clock is {skew} s off the others' (the shown time corrects {offset} ms)",
    ),
    "doctor.clock.server.cause": Text(
        "NTP parado ou bateria do relógio vazia nesse host",
        "NTP does not run there, or the clock's battery is empty",
    ),
    "doctor.clock.either": Text(
        "os relógios dos dois servidores diferem; este, {skew} s do meio",
        "the clocks of the two servers differ; this one is {skew} s off the middle",
    ),
    "doctor.clock.either.cause": Text(
        "NTP parado em um dos dois; com dois não se sabe em qual",
        "NTP does not run on one of the two; of two nobody can tell which",
    ),
    "doctor.clock.here": Text(
        "o relógio deste host difere {skew} s do de todos os servidores",
        "this host's clock is {skew} s off that of all servers",
    ),
    "doctor.clock.here.cause": Text("NTP parado neste host", "NTP does not run on this host"),
    # keys
    "doctor.key_permissions.mode": Text("modo {mode}, deve ser 0600", "mode {mode}, must be 0600"),
    "doctor.key_permissions.mode.cause": Text(
        "copiada sem `-p`, ou chmod; o nó recusa partir com ela, e outros podem tê-la lido",
        "copied without `-p`, or a chmod; the node refuses to start with it, and others may have read it",
    ),
    "doctor.key_permissions.owner": Text(
        "dono {owner}, mas node.data ({data}) é de {expected}",
        "owned by {owner}, but node.data ({data}) by {expected}",
    ),
    "doctor.key_permissions.owner.cause": Text(
        "criada por outro usuário (sudo?); o daemon não a pode ler",
        "made by another user (sudo?); the daemon can't read it",
    ),
    "doctor.key_permissions.directory": Text(
        "o diretório {directory} tem modo {mode}: outros podem trocar a chave",
        "its directory {directory} has mode {mode}: others can replace the key",
    ),
    "doctor.key_permissions.directory.cause": Text(
        "chmod ou umask largo demais", "a chmod or umask that is too wide"
    ),
    "doctor.key": Text("{why}", "{why}"),
    "doctor.key.cause": Text(
        "a chave falta, está danificada ou não é deste nó",
        "the key is missing, damaged, or of another node",
    ),
    # disk
    "doctor.disk_full.full": Text(
        "só leitura: disco cheio ({free} bytes livres de {total})",
        "read-only: its disk is full ({free} bytes free of {total})",
    ),
    "doctor.disk_full.full.cause": Text(
        "outros arquivos no mesmo sistema de arquivos, ou réplica maior que o disco; "
        "com espaço livre ele volta a escrever sozinho",
        "other files on the same file system, or a replica larger than the disk; "
        "once there is room it takes writes again by itself",
    ),
    "doctor.disk_full.soon": Text(
        "quase cheio: {free} bytes livres de {total}", "almost full: {free} bytes free of {total}"
    ),
    "doctor.disk_full.soon.cause": Text(
        "outros arquivos no mesmo sistema de arquivos, ou o log que cresce",
        "other files on the same file system, or the log that grows",
    ),
    "doctor.disk_slow": Text(
        "um commit demora mais que disk.slow_seconds", "a commit takes longer than disk.slow_seconds"
    ),
    "doctor.disk_slow.cause": Text(
        "disco que falha ou sobrecarregado", "a disk that fails, or is overloaded"
    ),
    # foreign cluster
    "doctor.foreign_cluster.answers": Text(
        "{address} é do cluster {theirs}, e não {ours}",
        "{address} is of cluster {theirs}, not {ours}",
    ),
    "doctor.foreign_cluster.answers.cause": Text(
        "cluster.id errado, ou endereço de outro cluster em cluster.members",
        "a wrong cluster.id, or another cluster's address in cluster.members",
    ),
    "doctor.foreign_cluster.asks": Text(
        "{server} recusou um servidor que se diz do cluster {theirs}, e não {ours}",
        "{server} refused a server that says it is of cluster {theirs}, not {ours}",
    ),
    "doctor.foreign_cluster.asks.cause": Text(
        "cluster.id errado nele, ou ele conhece nossos endereços por engano",
        "a wrong cluster.id there, or it has our addresses by mistake",
    ),
    "doctor.foreign_cluster.no_member": Text(
        "{server} recusou um servidor deste cluster ({theirs}) que não é membro",
        "{server} refused a server of this cluster ({theirs}) that is no member",
    ),
    "doctor.foreign_cluster.no_member.cause": Text(
        "falta em cluster.members de {server}, ou foi removido e ainda roda",
        "missing in cluster.members of {server}, or removed and still running",
    ),
    # versions
    "doctor.version.differs": Text(
        "versão {theirs}, os outros {usual}", "version {theirs}, the others {usual}"
    ),
    "doctor.version.differs.cause": Text("atualização pela metade", "an upgrade that was not finished"),
    "doctor.version.wire": Text(
        "fala a versão {wire} entre servidores, e há quem fale {newest}: eles não se entendem",
        "speaks version {wire} between servers, and some speak {newest}: they don't understand each other",
    ),
    "doctor.version.wire.cause": Text("uma atualização pulou uma versão", "an upgrade skipped a version"),
    # split views
    "doctor.split_view.leaders": Text(
        "coordenadores, e quem os segue: {views}", "coordinators, and who follows them: {views}"
    ),
    "doctor.split_view.leaders.cause": Text(
        "a rede está partida entre eles; mensagens seguem dos dois lados e se juntam quando ela voltar",
        "the network is cut between them; messages go on on both sides and merge when it is mended",
    ),
    "doctor.split_view.members": Text(
        "conhece os membros {theirs}; os outros: {usual}", "knows the members {theirs}; the others: {usual}"
    ),
    "doctor.split_view.members.cause": Text(
        "cluster.members foi mudado só em alguns nós, ou este não foi reiniciado",
        "cluster.members was changed on some nodes only, or this one was not restarted",
    ),
    "doctor.split_view.twice": Text(
        "{count} processos com este nome: {addresses}", "{count} processes have this name: {addresses}"
    ),
    "doctor.split_view.twice.cause": Text(
        "node.name copiado para outro host; pare um deles agora",
        "node.name was copied to another host; stop one of them now",
    ),
    "doctor.shared_host": Text(
        "{most} dos {members} membros estão neste host, e um quorum é {quorum} ({hosts})",
        "{most} of the {members} members are on this host, and a quorum is {quorum} ({hosts})",
    ),
    "doctor.shared_host.cause": Text(
        "o que foi confirmado com quorum pode estar só neste host; ponha o mesmo número de servidores em "
        "cada um de três hosts ou mais",
        "what was acknowledged at quorum may be on this host alone; put the same number of servers on each "
        "of three hosts or more",
    ),
    "doctor.no_coordinator": Text(
        "{names} não conhecem coordenador ({count} de {members} membros respondem)",
        "{names} know no coordinator ({count} of {members} members answer)",
    ),
    "doctor.no_coordinator.cause": Text(
        "no modo quorum, falta a maioria; senão, a eleição ainda corre",
        "in mode quorum a majority is missing; otherwise an election still runs",
    ),
    # logs
    "doctor.damaged": Text(
        "{count} entradas danificadas esperam conserto", "{count} damaged entries wait for their repair"
    ),
    "doctor.damaged.cause": Text(
        "bits trocados no disco; os pares as devolvem se têm cópias",
        "bits flipped on the disk; peers give them back if they have copies",
    ),
    "doctor.lag": Text("{entries} entradas atrás dos outros", "{entries} entries behind the others"),
    "doctor.lag.cause": Text(
        "esteve fora, ou o disco ou a rede dele é lento demais",
        "it was away, or its disk or network is too slow",
    ),
    # broker, reference
    "doctor.broker.dead": Text("não se conecta: {problem}", "no connection: {problem}"),
    "doctor.broker.dead.cause": Text(
        "o broker não roda; clientes perguntam aos servidores, mais devagar",
        "the broker does not run; clients ask the servers instead, which is slower",
    ),
    "doctor.broker.deaf": Text(
        "a conexão abre, mas nenhum servidor se ouve por ele",
        "the connection opens, but no server is heard through it",
    ),
    "doctor.broker.deaf.cause": Text(
        "processo parado, cluster.brokers com outro xsub nos servidores, ou chaves que não conferem",
        "a stopped process, another xsub in the servers' cluster.brokers, or keys that don't match",
    ),
    "doctor.reference": Text("não responde: {problem}", "no answer: {problem}"),
    "doctor.reference.cause": Text(
        "a referência não roda; servidores seguem, clientes sem endereço de servidor não acham nenhum",
        "the reference does not run; servers go on, clients without a server's address find none",
    ),
    "doctor.configuration": Text("{why}", "{why}"),
    "doctor.configuration.cause": Text(
        "erro de digitação ou opção que não combina; o nó recusa partir",
        "a typing error, or settings that don't go together; the node refuses to start",
    ),
}
