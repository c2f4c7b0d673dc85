"""The interactive chat: lines read as intents, a room that carries them out, two faces (terminal, plain)."""
