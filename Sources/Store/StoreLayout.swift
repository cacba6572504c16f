/// The names on disk. The whole is an OCI image layout (image-spec image-layout.md) with further folders beside it, which
/// other OCI tools ignore:
///
///     oci-layout  index.json  blobs/sha256/HEX   manifests, configs, whole blobs
///     trees/sha256/HEX.index                     indexes of layers and snapshots, named by their key
///     trees/serials                              the key of tree serial N in line N (`TreeSerials`)
///     spans/HEX/N                                span N of the layer whose content key is HEX
///     files/sha256/HEX                           whole large files, named by the sha256 of their content
///     profiles/sha256/HEX.json                   what a workload reads of the image with that manifest, in order; replaceable
///     caches/NAME/                               caches, laid out by the Caches module (`CacheLayout`)
///     usage                                      how much is kept (`StoreAccount`)
///     refused/HEX                                that an index from a registry lied, and how; HEX is its content key
///     quarantine/                                what was found damaged, kept for whoever wants to know why
///     locks/                                     lock files, empty; their names mean something, their content nothing
///     tmp/                                       what is being written
///
/// Everything under blobs, trees/sha256, spans and files is complete or absent, and immutable (DESIGN tenet 3).
enum StoreLayout {
    static let marker = "oci-layout"
    static let markerText = #"{"imageLayoutVersion":"1.0.0"}"#
    static let index = "index.json"
    static let emptyIndexText = #"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#

    static let blobs = "blobs/sha256"
    static let trees = "trees/sha256"
    static let serials = "trees/serials"
    static let spans = "spans"
    static let objects = "files/sha256"
    /// Made when the first profile is.
    static let profiles = "profiles/sha256"
    /// Made when the first cache is.
    static let caches = "caches"
    /// Made by the first scan.
    static let usage = "usage"
    static let quarantine = "quarantine"
    static let locks = "locks"
    static let temporary = "tmp"
    static let directories = [blobs, trees, spans, objects, quarantine, locks, temporary]

    /// Held shared by every writer; whoever gets it exclusively is alone.
    static let presenceLock = "tmp/.lock"
    static let indexLock = "locks/index"
    static let serialsLock = "locks/serials"
    static let usageLock = "locks/usage"
    /// Held by the one process that makes room.
    static let evictionLock = "locks/eviction"

    /// Sizes of what is read whole, in bytes.
    static let markerLimit = 4096
    static let indexLimit = 32 << 20
}
