//! Names: directories, their entries, and changes to them that no sync made durable yet.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::media::{InodeId, Media};
use crate::disk::PathKind;

/// The names in one directory.
#[derive(Debug, Clone, Default)]
pub(super) struct Directory {
    pub(super) entries: BTreeMap<Arc<str>, Entry>,
}

impl Directory {
    /// The files that have a name here.
    pub(super) fn files(&self) -> impl Iterator<Item = InodeId> + '_ {
        self.entries.values().filter_map(|entry| entry.inode())
    }
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) node: Node,
    pub(super) owned: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    File(InodeId),
    Directory,
    Symlink,
}

impl Entry {
    pub(super) fn new(node: Node) -> Self {
        Self { node, owned: true }
    }

    pub(super) fn kind(self) -> PathKind {
        match self.node {
            Node::File(_) => PathKind::File,
            Node::Directory => PathKind::Directory,
            Node::Symlink => PathKind::Symlink,
        }
    }

    pub(super) fn inode(self) -> Option<InodeId> {
        match self.node {
            Node::File(inode) => Some(inode),
            _ => None,
        }
    }
}

/// A change of one or two names of a directory, which happens as a whole.
#[derive(Debug, Clone)]
pub(super) struct NameChange {
    pub(super) dir: Arc<Path>,
    pub(super) kind: NameChangeKind,
}

#[derive(Debug, Clone)]
pub(super) enum NameChangeKind {
    Create { name: Arc<str>, inode: InodeId },
    Rename { from: Arc<str>, to: Arc<str> },
    Unlink { name: Arc<str> },
    MakeDir { name: Arc<str> },
}

impl NameChange {
    /// Carries the change out. What it builds on must be there.
    pub(super) fn apply(&self, media: &mut Media) {
        use NameChangeKind::{Create, MakeDir, Rename, Unlink};
        if let Create { inode, .. } = self.kind {
            media.files.entry(inode).or_default();
        }
        if let MakeDir { name } = &self.kind {
            media.add_dir(self.dir.join(&**name));
        }
        let Some(dir) = media.dir_mut(&self.dir) else {
            return;
        };
        let entries = &mut dir.entries;
        match &self.kind {
            Create { name, inode } => {
                entries.insert(name.clone(), Entry::new(Node::File(*inode)));
            }
            Rename { from, to } => {
                if let Some(entry) = entries.remove(from) {
                    entries.insert(to.clone(), entry);
                }
            }
            Unlink { name } => {
                entries.remove(name);
            }
            MakeDir { name } => {
                entries.insert(name.clone(), Entry::new(Node::Directory));
            }
        }
    }

    /// The file that the change gives its first name.
    pub(super) fn created(&self) -> Option<InodeId> {
        match self.kind {
            NameChangeKind::Create { inode, .. } => Some(inode),
            _ => None,
        }
    }

    /// Whether the order of the two matters, so that the later one cannot be durable alone.
    pub(super) fn depends_on(&self, earlier: &Self) -> bool {
        self.dir == earlier.dir
            && self
                .names()
                .any(|name| earlier.names().any(|other| name == other))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        use NameChangeKind::{Create, MakeDir, Rename, Unlink};
        let (first, second) = match &self.kind {
            Rename { from, to } => (from, Some(to)),
            Create { name, .. } | Unlink { name } | MakeDir { name } => (name, None),
        };
        std::iter::once(first).chain(second).map(|name| &**name)
    }
}

/// The path from the root, without `.` and `..`: relative paths begin at the root, too.
pub(super) fn absolute(path: &Path) -> PathBuf {
    let mut absolute = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(part) => absolute.push(part),
            Component::ParentDir => {
                absolute.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    absolute
}

/// The directory and the name in it; `None` for the root.
pub(super) fn parent_and_name(path: &Path) -> Option<(PathBuf, Arc<str>)> {
    let path = absolute(path);
    let name = path.file_name()?.to_str()?.into();
    Some((path.parent()?.to_path_buf(), name))
}
