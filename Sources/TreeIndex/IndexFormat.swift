/// The index file: one tree of files, memory-mapped and used in place.
///
/// One format serves a layer's own tree and a snapshot (several layers merged). All integers are little-endian; records
/// have a fixed width and every field its natural alignment, so a record *is* the Swift structure of the same name
/// (a test holds every field to the offset given here). The file is a header and eleven sections, in this order, each
/// beginning at the next multiple of 8 behind the one before (the gap is zero bytes) and the last ending the file:
///
///      section     record           bytes  holds
///      nodes       TreeNode            96  every file and name, in order of arrival; the root is number 0
///      children    UInt32               4  ordinals of the entries of each directory, sorted by name bytes
///      heap        byte                 1  names, symlink targets, paths that dangling links name
///      attributes  byte                 1  blocks of extended attributes
///      runs        DataRun             24  data runs of sparse files
///      spans       ContentSpan         80  units of fetching; they tile the content space from 0
///      chunks      ContentChunk        64  chunks of the layer's own table of contents; they tile their span
///      objects     FileObject          40  large files that are (or become) objects of their own
///      layers      LayerReference      96  of a snapshot: its layers, lowest first
///      starts      SpanStart           16  how each span can be decompressed by itself; of none, or of every span
///      windows     byte                 1  what the starts need to know of the bytes before them, compressed
///
/// Header (344 bytes, `IndexHeader`):
///
///      offset  bytes  field
///           0      8  magic "LARDRIDX"
///           8      4  version, 2 (another one counts as absent: an index can be made again)
///          12      1  what: 0 a layer, 1 a snapshot
///          13      1  format of the layer's blob (`LayerFormat`); 0 for a snapshot
///          14      2  zero
///          16     32  checksum: sha256 of everything from offset 48 to the end
///          48      8  size of this file
///          56     32  content key: names the folder of the layer's spans in the store
///          88     32  digest of the layer's blob
///         120     32  DiffID; all zero while unproven
///         152      8  size of the layer's blob
///         160      8  size of the content space
///         168    176  sections: eleven times (offset, count of records), 8 bytes each
///
/// Node (96 bytes, `TreeNode`); a field that a kind does not use is zero:
///
///      offset  bytes  field
///           0      4  parent; always a smaller ordinal than the node's own (the root: 0)
///           4      4  directory: first position in `children`; hard link: the node with the inode; sparse: first run
///           8      4  directory: number of children; sparse: number of runs
///          12      4  name: offset in `heap`
///          16      2  name: length, 1 to 255 (the root: 0)
///          18      1  kind (`NodeKind`)
///          19      1  flags (`NodeFlags`)
///          20      4  permission bits, 0 to 0o7777
///          24      8  uid, gid
///          32      8  size; of a symlink or dangling link the length of its target
///          40      8  mtime, seconds (signed)
///          48      4  mtime, nanoseconds
///          52      4  link count
///          56      8  device number: major, minor
///          64      8  regular: offset in the content space, all ones where none; symlink, dangling link: target in `heap`
///          72      8  attributes: offset and length of the block
///          80      2  snapshot: which layer the inode comes from
///          82      2  zero
///          84      4  snapshot: the inode's ordinal in that layer
///          88      4  number of the file's object plus one; 0 where it has none
///          92      4  zero
///
/// An attribute block is a run of (name length u16, value length u32, name, value), strictly ascending by name; equal
/// blocks may be shared, different ones do not overlap.
///
/// Start of a span (16 bytes, `SpanStart`):
///
///      offset  bytes  field
///           0      8  window: offset in `windows`; windows lie there one after the other, in the order of the spans
///           8      4  window: length, as compressed (`PackedWindow`); 0 where nothing before the start is needed
///          12      1  bits of the source's first byte that belong to the span, 0 to 7; 0 means all eight of it
///          13      1  kind (`SpanStart.Kind`): 1 between two blocks of a gzip member, 2 at a member, frame or plain byte
///          14      2  zero
///
/// **Content space.** Spans cut one linear space into units of fetching. Of a layer with a table of contents the space
/// is the stored bytes of all files (of a sparse file its data runs only), in the order that the reader chose, and spans
/// have chunks. Of every other layer it *is* the uncompressed tar, headers and padding included, and a span's source is
/// a range of the blob from which it can be decompressed if there are starts. A large file may be an object too. A
/// snapshot has no content: its nodes say in which layer to look.
///
/// **Order of arrival.** A node keeps its ordinal from the moment the builder met it, so node ids that were given out
/// while a layer was still streaming mean the same file afterwards. What a later member of the same layer has replaced
/// stays as a `dead` node that no directory lists.
enum IndexFormat {
    static let magic: UInt64 = 0x5844_4952_4452_414C  // "LARDRIDX" read as a little-endian integer
    static let version: UInt32 = 2
    /// Where the bytes begin that the checksum covers.
    static let checkedFrom = 48
    static let sectionAlignment = 8
    /// Longest packed window in bytes: 32 KiB that do not compress, and room to spare.
    static let windowLimit = 40 << 10
    /// Content offset of a file that has none: it is empty, all hole, or an object.
    static let noContent = UInt64.max
    /// Longest name of a directory entry in bytes (NAME_MAX).
    static let nameLimit = 255
    /// Longest path or symlink target in bytes (PATH_MAX).
    static let pathLimit = 4096
    /// Longest name of an extended attribute in bytes (XATTR_NAME_MAX).
    static let attributeNameLimit = 255
    /// Longest value of an extended attribute in bytes (XATTR_SIZE_MAX).
    static let attributeValueLimit = 65536
    /// Deepest directory: more components than any path of `pathLimit` bytes can usefully have.
    static let depthLimit = 1024
}

#if _endian(big)
#error("The index is used in place: it needs a little-endian machine.")
#endif

/// The number of a node in its tree. The root is 0.
public typealias Ordinal = UInt32
