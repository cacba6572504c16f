import CLinux
import VirtualFS

/// What libfuse 3.14 does not pass on of the request that this thread is answering.
enum RequestBody {
    static var setAttributes: larder_fuse_setattr_in? { body() }
    static var writeFlags: UInt32 { body(as: larder_fuse_write_in.self)?.write_flags ?? 0 }
    static var openFlags: UInt32 { body(as: larder_fuse_open_in.self)?.open_flags ?? 0 }
    static var createFlags: UInt32 { body(as: larder_fuse_create_in.self)?.open_flags ?? 0 }

    private static func body<Structure: BitwiseCopyable>(as type: Structure.Type = Structure.self) -> Structure? {
        larder_request_body(MemoryLayout<Structure>.size)?.loadUnaligned(as: Structure.self)
    }
}

extension AttributeChange {
    init(_ body: larder_fuse_setattr_in) {
        self.init()
        func has(_ flag: Int) -> Bool { body.valid & UInt32(flag) != 0 }
        if has(LARDER_FATTR_MODE) { mode = body.mode & 0o7777 }
        if has(LARDER_FATTR_UID) { uid = body.uid }
        if has(LARDER_FATTR_GID) { gid = body.gid }
        if has(LARDER_FATTR_SIZE) { size = body.size }
        if has(LARDER_FATTR_ATIME_NOW) {
            accessed = .now
        } else if has(LARDER_FATTR_ATIME) {
            accessed = .at(seconds: Int64(bitPattern: body.atime), nanoseconds: body.atimensec)
        }
        if has(LARDER_FATTR_MTIME_NOW) {
            modified = .now
        } else if has(LARDER_FATTR_MTIME) {
            modified = .at(seconds: Int64(bitPattern: body.mtime), nanoseconds: body.mtimensec)
        }
        killsPrivileges = has(LARDER_FATTR_KILL_SUIDGID)
    }
}
