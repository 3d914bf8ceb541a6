# The file protoc wrote, as read-only data.
.section .rodata
.global blx_descriptor_set_begin
.global blx_descriptor_set_end
.balign 16
blx_descriptor_set_begin:
.incbin "descriptor_set.binpb"
blx_descriptor_set_end:
.section .note.GNU-stack,"",@progbits
