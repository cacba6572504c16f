import Glibc

/// A file mapped read-only for as long as this object lives. The file must not shrink meanwhile: published
/// store objects never do.
public final class MappedFile: @unchecked Sendable {
    /// The mapped bytes; valid as long as the object.
    public let bytes: UnsafeRawBufferPointer

    public init(_ descriptor: borrowing OwnedDescriptor) throws(SystemError) {
        let size = Int(try descriptor.size())
        guard size > 0 else {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            return
        }
        guard let base = mmap(nil, size, PROT_READ, MAP_SHARED, descriptor.raw, 0), base != MAP_FAILED else {
            throw SystemError("mmap")
        }
        bytes = UnsafeRawBufferPointer(start: base, count: size)
    }

    deinit {
        if let base = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: base), bytes.count) }
    }
}
