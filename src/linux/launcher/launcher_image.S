# The launcher, as read-only data of the daemon.
.section .rodata
.global blx_launcher_begin
.global blx_launcher_end
.balign 16
blx_launcher_begin:
.incbin "blx_launcher"
blx_launcher_end:
.section .note.GNU-stack,"",@progbits
