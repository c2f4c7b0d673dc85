"""What the commands about users and channels say, in Portuguese and English."""

from recado.texts import Text

RULE_WORDS: dict[str, Text] = {
    # recado channel, and the same in the chat
    "rule.topic": Text("#{channel}: assunto mudado", "#{channel}: topic changed"),
    "rule.no_topic": Text("#{channel}: sem assunto", "#{channel}: no topic"),
    "rule.private": Text("#{channel} agora é só para convidados", "#{channel} is private now"),
    "rule.public": Text("#{channel} agora é de todos", "#{channel} is public now"),
    "rule.moderated": Text("#{channel}: agora só fala quem tem voz", "#{channel}: only voices speak now"),
    "rule.unmoderated": Text("#{channel}: agora todos falam", "#{channel}: everybody speaks now"),
    "rule.leave": Text("você não é mais de #{channel}", "you are no longer of #{channel}"),
    "rule.invite": Text("{who} pode entrar em #{channel}", "{who} may enter #{channel}"),
    "rule.uninvite": Text("{who} não é mais de #{channel}", "{who} is no longer of #{channel}"),
    "rule.op": Text("{who} agora opera #{channel}", "{who} operates #{channel} now"),
    "rule.deop": Text("{who} não opera mais #{channel}", "{who} no longer operates #{channel}"),
    "rule.voice": Text("{who} tem voz em #{channel}", "{who} has a voice on #{channel}"),
    "rule.devoice": Text("{who} não tem mais voz em #{channel}", "{who} has no voice on #{channel} any more"),
    "rule.mute": Text("{who} não pode mais falar em #{channel}", "{who} is muted on #{channel}"),
    "rule.unmute": Text("{who} pode falar em #{channel} outra vez", "{who} may speak on #{channel} again"),
    "rule.ban": Text("{who} foi banido de #{channel}", "{who} is banned from #{channel}"),
    "rule.unban": Text("{who} não está mais banido de #{channel}", "{who} is not banned from #{channel} now"),
    "rule.kick": Text("{who} foi posto para fora de #{channel}", "{who} was put out of #{channel}"),
    # recado user
    "user.key_added": Text("{user} tem mais uma chave: {public}", "{user} has one more key: {public}"),
    "user.key_revoked": Text("chave de {user} revogada: {public}", "key of {user} revoked: {public}"),
    "user.no_key": Text(
        "{user} não tem chave que comece com {public}; veja `recado user keys`",
        "{user} has no key that begins with {public}; see `recado user keys`",
    ),
    "user.which_key": Text(
        "mais de uma chave de {user} começa com {public}; diga mais",
        "several keys of {user} begin with {public}; give more of it",
    ),
    "user.ssh_key_added": Text("{user} entra por SSH com {public}", "{user} comes in over SSH with {public}"),
    "user.no_ssh_key": Text(
        "nenhuma chave pública de SSH: uma linha como a de ~/.ssh/id_ed25519.pub (Ed25519, ECDSA ou RSA)",
        "no public key of SSH: one line like that of ~/.ssh/id_ed25519.pub (Ed25519, ECDSA or RSA)",
    ),
    "user.private_key": Text(
        "isso é uma chave privada de SSH; dê a pública (.pub), e a ninguém esta",
        "that is a private key of SSH; give the public one (.pub), and this to nobody",
    ),
    "user.node_key": Text(
        "{file} é a chave de um nó, não de um usuário", "{file} is a node's key, not a user's"
    ),
    "user.suspend": Text("{user} está suspenso", "{user} is suspended"),
    "user.restore": Text("{user} pode usar o cluster outra vez", "{user} may use the cluster again"),
    "user.role": Text("{user} agora é {role}", "{user} is a {role} now"),
    "user.invited": Text(
        "cada convite vale para um registro: recado login NOME --invite CONVITE",
        "each invitation is good for one registration: recado login NAME --invite TOKEN",
    ),
    "user.uninvited": Text("o convite não vale mais", "the invitation is void"),
    "user.shown_as": Text(
        "alguém registrou {user} ao mesmo tempo; você aparece como {shown}",
        "somebody registered {user} at the same time; you are shown as {shown}",
    ),
    # refusals, where what is known says more than the server's text
    "refused.muted": Text("você está silenciado em #{channel}", "you are muted on #{channel}"),
    "refused.moderated": Text(
        "#{channel} é moderado: só fala quem tem voz", "#{channel} is moderated: only voices speak"
    ),
    "refused.banned": Text("você foi banido de #{channel}", "you are banned from #{channel}"),
    "refused.channel_closed": Text("#{channel} é só para convidados", "#{channel} is for who is invited"),
    "refused.not_channel_operator": Text(
        "isso é para quem opera #{channel}", "that is for who operates #{channel}"
    ),
    "refused.reason": Text("{what}: {reason}", "{what}: {reason}"),
    "refused.wait": Text("{what} ({seconds:g} s)", "{what} ({seconds:g} s)"),
    # the chat
    "chat.topic": Text("{topic}  ({by}, {when})", "{topic}  ({by}, {when})"),
    "chat.topic_none": Text("#{channel} não tem assunto", "#{channel} has no topic"),
    "chat.private": Text("privado", "private"),
    "chat.moderated": Text("moderado", "moderated"),
    "chat.still_member": Text(
        "você ainda é de #{channel}; /resign {channel} desiste de vez",
        "you are still of #{channel}; /resign {channel} gives that up",
    ),
    "chat.info.topic": Text("  assunto: {value}", "  topic: {value}"),
    "chat.info.modes": Text("  modo: {value}", "  modes: {value}"),
    "chat.info.founder": Text("  criado por: {value}", "  founder: {value}"),
    "chat.info.operators": Text("  operam: {value}", "  operators: {value}"),
    "chat.info.members": Text("  convidados: {value}", "  invited: {value}"),
    "chat.info.voices": Text("  com voz: {value}", "  voices: {value}"),
    "chat.info.muted": Text("  silenciados: {value}", "  muted: {value}"),
    "chat.info.banned": Text("  banidos: {value}", "  banned: {value}"),
}
